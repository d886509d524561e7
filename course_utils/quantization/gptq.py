"""GPTQ (Frantar et al. 2023): round one column after another, and let the columns to come repair each error.

What counts is the layer's output on real inputs X, ‖X Wᵀ − X Ŵᵀ‖², whose curvature is H = XᵀX for every row of W. With
U the upper Cholesky factor of H⁻¹ (UᵀU = H⁻¹), rounding column j with error e = (w_j − ŵ_j) / U_jj changes the rest by

    W[:, j+1:] −= e · U[j, j+1:]

Deviations: H is not multiplied by 2, which cancels; columns are worked through in the given order. What lies beyond a
group is changed once for the whole group, the paper's lazy batches.
"""

from contextlib import contextmanager

import torch

from course_utils.quantization import integer, weights


def hessian(inputs):
    """H = XᵀX / N, (I, I) float32, of calibration inputs (..., I)."""
    rows = inputs.reshape(-1, inputs.shape[-1]).float()
    if not torch.isfinite(rows).all() or not len(rows):
        raise ValueError(f"Expected finite calibration inputs (N, I), got {tuple(inputs.shape)}; NaN spoils all.")
    return rows.t() @ rows / len(rows)


def quantize(weight, curvature, *, bits=4, group=128, damping=0.01, scale_dtype=torch.float16):
    """Round a weight so that the layer's output on the calibration inputs changes little.

    Args:
        weight: (O, I), finite.
        curvature: (I, I) from `hessian`.
        bits, group, scale_dtype: of the result, as for `integer.quantize` with granularity "group".
        damping: share of H's mean diagonal that is added to its diagonal, so that it can be inverted.

    Returns:
        An IntegerWeight, in the same format and of the same size as round-to-nearest would give.

    Raises:
        ValueError: NaN weights, a group that does not divide, or a curvature of another shape, not finite, or not
            positive definite.
    """
    weights.check_weight(weight)
    weights.check_divides(weight.shape[1], group, "A row")
    if curvature.shape != (weight.shape[1],) * 2:
        raise ValueError(f"Expected a Hessian {(weight.shape[1],) * 2}, got {tuple(curvature.shape)}.")
    if not torch.isfinite(curvature).all():
        raise ValueError(
            f"{int((~torch.isfinite(curvature)).sum())} of {curvature.numel()} numbers of the Hessian are NaN or "
            "infinite: an input was, or its square is beyond float32. Look for the step that broke the inputs first."
        )
    factor = _inverse_factor(curvature, damping)
    # columns lie as rows, in a copy of its own: the transpose of a single row is the weight's own memory
    work = weight.detach().t().to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    codes, scales = torch.empty(work.shape, dtype=torch.int8, device=work.device), []
    for start in range(0, len(work), group):
        columns, inside = work[start : start + group], factor[start : start + group, start : start + group]
        # the grid of a group is chosen when its turn comes, from weights that already carry the repairs
        scale, _ = integer.grid(columns.t(), bits, scale_dtype=scale_dtype)
        columns /= scale.float().t()  # counted in steps from here on
        errors, most = torch.empty_like(columns), 2 ** (bits - 1) - 1
        for c, column in enumerate(columns):
            rounded = column.round().clamp_(-most, most)
            codes[start + c] = rounded
            torch.div(column - rounded, inside[c, c], out=errors[c])
            columns[c + 1 :].addr_(inside[c, c + 1 :], errors[c], alpha=-1)
        errors *= scale.float().t()
        work[start + group :].addmm_(factor[start : start + group, start + group :].t(), errors, alpha=-1)
        scales.append(scale)
    blocks = codes.t().reshape(-1, group)
    return integer.IntegerWeight(weight, blocks, torch.stack(scales, 1).view(-1, 1), None, bits)


def _inverse_factor(curvature, damping):
    """U, upper triangular with UᵀU = (H + λI)⁻¹; inputs that are always zero get a curvature of 1."""
    damped = curvature.clone()
    diagonal = damped.diagonal()
    diagonal[diagonal == 0] = 1.0
    diagonal += damping * diagonal.mean()
    try:
        return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
    except torch.linalg.LinAlgError as error:
        raise ValueError(
            f"The Hessian is not positive definite with damping {damping}: too few calibration rows for "
            f"{len(curvature)} inputs? Raise damping, or calibrate on more tokens than inputs."
        ) from error


@contextmanager
def watched(named):
    """Inside, every forward pass adds to the Hessian of each layer; yields {name: (I, I)}, filled as it goes.

    Args:
        named: {name: torch.nn.Linear}. Batches count by their number of tokens.
    """
    sums, counts, hooks = {}, dict.fromkeys(named, 0), []

    def watch(name):
        def add(module, arguments):
            rows = arguments[0].detach().reshape(-1, arguments[0].shape[-1])
            before, counts[name] = counts[name], counts[name] + len(rows)
            fresh = hessian(rows) * len(rows)
            sums[name] = (fresh if before == 0 else sums[name] * before + fresh) / counts[name]

        return add

    try:
        for name, module in named.items():
            hooks.append(module.register_forward_pre_hook(watch(name)))
        yield sums
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def quantize_blocks(model, input_ids, **settings):
    """GPTQ for all linear layers of a model's blocks; each block is calibrated behind the rounded ones before it.

    Args:
        model: a causal language model of transformers; unchanged afterwards.
        input_ids: (B, T) calibration tokens, <bos> first, without pads.
        settings: for `quantize`.

    Returns:
        {name of the linear layer: IntegerWeight}.
    """
    blocks, calls, found, input_ids = list(model.base_model.layers), {}, {}, input_ids.to(model.device)
    hooks = [block.register_forward_pre_hook(_keep_call(calls, n), with_kwargs=True) for n, block in enumerate(blocks)]
    try:
        model.base_model(input_ids[:1], use_cache=False)  # masks and positions are the same for every row
    finally:
        for hook in hooks:
            hook.remove()
    hidden, names = model.get_input_embeddings()(input_ids), {module: name for name, module in model.named_modules()}
    for number, block in enumerate(blocks):
        linear = {names[m]: m for m in block.modules() if isinstance(m, torch.nn.Linear)}
        keywords = calls[number]
        with watched(linear) as curvatures:
            block(hidden, **keywords)
        found |= {name: quantize(module.weight, curvatures[name], **settings) for name, module in linear.items()}
        originals = {name: module.weight.data for name, module in linear.items()}
        try:
            for name, module in linear.items():
                module.weight.data = found[name].dequantize()
            output = block(hidden, **keywords)
            hidden = output[0] if isinstance(output, tuple) else output
        finally:
            for name, module in linear.items():
                module.weight.data = originals[name]
    return found


def _keep_call(calls, number):
    def keep(module, arguments, keywords):
        calls[number] = keywords

    return keep
