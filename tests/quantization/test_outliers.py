"""A few huge columns ruin eight-bit activations; kept apart they do no harm."""

import pytest
import torch

from course_utils.quantization import integer, outliers


@pytest.fixture
def case(normal_weight):
    inputs = torch.randn(40, 128, generator=torch.Generator().manual_seed(3))
    inputs[:, 7] *= 80
    return inputs, integer.quantize(normal_weight), inputs @ normal_weight.t()


def error(inputs, weight, exact, threshold):
    return ((outliers.matmul(inputs, weight, threshold=threshold) - exact).norm() / exact.norm()).item()


def test_outliers_kept_apart_save_the_rest(case):
    inputs, weight, exact = case
    assert error(*case, threshold=6.0) < 0.02
    # the outlier dominates the sum, so look at what is left of the others
    regular = exact - inputs[:, [7]] @ weight.dequantize()[:, [7]].t()
    rounded = outliers.matmul(inputs, weight, threshold=float("inf")) - inputs[:, [7]] @ weight.dequantize()[:, [7]].t()
    apart = outliers.matmul(inputs, weight) - inputs[:, [7]] @ weight.dequantize()[:, [7]].t()
    assert (rounded - regular).norm() > 3 * (apart - regular).norm()


def test_the_columns_are_found(case):
    assert outliers.outlier_columns(case[0]).tolist() == [7]
    assert outliers.outlier_columns(torch.zeros(2, 3, 4)).tolist() == []


def test_threshold_zero_is_the_dequantized_product(case):
    inputs, weight, _ = case
    assert torch.allclose(outliers.matmul(inputs, weight, threshold=0.0), inputs @ weight.dequantize().t(), atol=1e-4)


def test_leading_dimensions_stay(case):
    inputs, weight, _ = case
    folded = outliers.matmul(inputs.view(4, 10, 128), weight)
    assert torch.equal(folded.view(40, -1), outliers.matmul(inputs, weight))


def test_zero_rows_are_exact(case):
    assert (outliers.matmul(torch.zeros(2, 128), case[1]) == 0).all()


def test_other_formats_and_nan_are_refused(case, normal_weight):
    with pytest.raises(ValueError, match="absmax codes of 8 bits with a scale a row"):
        outliers.matmul(case[0], integer.quantize(normal_weight, bits=4))
    with pytest.raises(ValueError, match="activations hold NaN"):
        outliers.matmul(torch.full((1, 128), float("nan")), case[1])
