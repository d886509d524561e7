"""LoftQ (Li et al. 2023): let the adapter start from the rounding error instead of from zero.

    W ≈ Ŵ + s B A       B A = the closest matrix of rank R to (W − Ŵ) / s

LoRA's zero start keeps the rounded model exactly; this start keeps the original one as well as R ranks can. Deviation:
the paper quantizes W − s B A anew and fits again, a few times; here the codes stay, so that both starts share them.
"""

import torch


def low_rank(matrix, rank):
    """The closest matrix of a rank, as factors (up (O, R), down (R, I)) of equal norms; exact, from a Gram matrix.

    With E Eᵀ = U S² Uᵀ the best approximation of E is U_R U_Rᵀ E (Eckart and Young).
    """
    if not 1 <= rank <= min(matrix.shape):
        raise ValueError(f"Expected a rank from 1 to {min(matrix.shape)} for {tuple(matrix.shape)}, got {rank}.")
    if matrix.shape[0] > matrix.shape[1]:
        up, down = low_rank(matrix.t(), rank)
        return down.t(), up.t()
    squares, vectors = torch.linalg.eigh((matrix @ matrix.t()).double())
    root = squares[-rank:].clamp(min=1e-30).sqrt().sqrt()
    vectors = vectors[:, -rank:]
    return (vectors * root).to(matrix), (vectors.t() @ matrix.double() / root[:, None]).to(matrix)


@torch.no_grad()
def start_from_error(model, originals, *, adapter="default"):
    """Set every LoRA pair of a peft model so that it repairs its layer's rounding error, codes left as they are.

    Args:
        model: with LoRA on the layers that `layers.swap` made, its adapters untrained.
        originals: {layer name: module} that `layers.swap` returned.

    Returns:
        {layer name: share of the squared error that remains}.

    Raises:
        ValueError: an adapter has been trained already, or no layer of `originals` has one.
    """
    left = {}
    for name, original in originals.items():
        layer = model.get_base_model().get_submodule(name)
        if adapter not in getattr(layer, "lora_A", {}):
            continue
        up, down = layer.lora_B[adapter].weight, layer.lora_A[adapter].weight
        if up.any():
            raise ValueError(f"The adapter on {name} is not at its zero start; start from the error before training.")
        error = original.weight.float() - layer.base_layer.quantized.dequantize().float()
        fitted_up, fitted_down = low_rank(error, len(down))
        root = layer.scaling[adapter] ** 0.5
        up.copy_(fitted_up / root)
        down.copy_(fitted_down / root)
        left[name] = ((error - fitted_up @ fitted_down).square().sum() / error.square().sum().clamp(min=1e-30)).item()
    if not left:
        raise ValueError("None of the original layers has an adapter here. Are the names those that `swap` returned?")
    return left
