"""Block convolutions against one convolution with zeros in its weights."""

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional as F

from awnlib.channels import Channels, staircase
from awnlib.layers import TriangularConv2d, skip_zeros
from awnlib.layers.skip_zeros import block_conv2d, pays_to_skip, row_blocks
from awnlib.tasks.classification import backward_one_pass
from tests.reference import mask_slowly, small_lenet


def layer_tensors(ins, outs, kernel_size=3, *, size=7, dtype=torch.float64):
    limits = staircase(Channels(ins), Channels(outs))
    torch.manual_seed(0)
    weight = torch.randn(outs, ins, kernel_size, kernel_size, dtype=dtype)
    weight *= mask_slowly(limits, ins)[:, :, None, None].to(dtype)
    return limits, torch.randn(2, ins, size, size, dtype=dtype), weight, torch.randn(outs, dtype=dtype)


def test_blocks_of_a_square_staircase_leave_five_eighths():
    blocks = row_blocks(range(1, 257), 256, 256)
    assert blocks == [(0, 64, 64), (64, 128, 128), (128, 192, 192), (192, 256, 256)]
    assert sum((stop - start) * reads for start, stop, reads in blocks) == 5 / 8 * 256**2


def test_blocks_with_the_same_inputs_are_one():
    assert row_blocks([3] * 128, 3, 128) == [(0, 128, 3)]
    assert row_blocks([20] * 64 + list(range(21, 85)), 96, 128) == [(0, 64, 32), (64, 96, 64), (96, 128, 96)]


@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 20), st.integers(0, 20))
def test_blocks_hold_every_weight_of_the_staircase_and_tile_rows_and_inputs(ins, outs, empty_ins, empty_outs):
    limits = staircase(Channels(ins), Channels(outs))
    blocks = row_blocks(limits, ins + empty_ins, outs + empty_outs)
    assert blocks[0][0] == 0
    assert blocks[-1][1:] == (outs + empty_outs, ins + empty_ins)
    assert all(after[0] == before[1] and after[2] > before[2] for before, after in itertools.pairwise(blocks))
    assert all(limits[row] <= reads for start, stop, reads in blocks for row in range(start, min(stop, outs)))


@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (0, 0)), ((2, 2), (1, 1))])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("ins", "outs", "kernel_size"), [(64, 64, 3), (20, 100, 1), (100, 20, 3)])
def test_outputs_and_gradients_are_those_of_one_convolution(ins, outs, kernel_size, with_bias, stride, padding):
    limits, *tensors = layer_tensors(ins, outs, kernel_size)
    found = [tensor.clone().requires_grad_() for tensor in tensors]
    expected = [tensor.clone().requires_grad_() for tensor in tensors]
    blocks = row_blocks(limits, ins, outs)
    output = block_conv2d(found[0], found[1], found[2] if with_bias else None, blocks, stride, padding)
    reference = F.conv2d(expected[0], expected[1], expected[2] if with_bias else None, stride, padding)
    torch.testing.assert_close(output, reference, rtol=1e-12, atol=1e-12)
    grad = torch.randn_like(output)
    output.backward(grad)
    reference.backward(grad)
    mask = mask_slowly(limits, ins)[:, :, None, None].double()
    torch.testing.assert_close(found[0].grad, expected[0].grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[1].grad * mask, expected[1].grad * mask, rtol=1e-12, atol=1e-12)
    if with_bias:
        torch.testing.assert_close(found[2].grad, expected[2].grad, rtol=1e-12, atol=1e-12)


def test_gradients_that_nobody_needs_are_not_computed():
    limits, images, weight, bias = layer_tensors(40, 40)
    bias.requires_grad_()
    output = block_conv2d(images, weight, bias, row_blocks(limits, 40, 40), (1, 1), (1, 1))
    output.sum().backward()
    torch.testing.assert_close(bias.grad, torch.full((40,), 2.0 * 7 * 7, dtype=torch.float64))
    assert images.grad is None
    assert weight.grad is None


def test_numerical_gradients():
    limits, images, weight, bias = layer_tensors(40, 20, size=3)
    blocks = row_blocks(limits, 40, 20)
    assert len(blocks) == 2
    weight = weight.requires_grad_()
    mask = mask_slowly(limits, 40)[:, :, None, None].double()

    def convolve(images, weight, bias):
        return block_conv2d(images, weight * mask, bias, blocks, (1, 1), (1, 1))

    assert torch.autograd.gradcheck(convolve, (images.requires_grad_(), weight, bias.requires_grad_()), fast_mode=True)


def test_numerical_gradients_of_gradients():
    limits, images, weight, bias = layer_tensors(20, 20, size=3)
    blocks = row_blocks(limits, 20, 20)
    assert len(blocks) == 2
    mask = mask_slowly(limits, 20)[:, :, None, None].double()
    tensors = [tensor.requires_grad_() for tensor in (images, weight, bias)]

    def convolve(images, weight, bias):
        return block_conv2d(images, weight * mask, bias, blocks, (1, 1), (1, 1))

    assert torch.autograd.gradgradcheck(convolve, tensors, fast_mode=True)


def test_autocast_computes_in_its_type():
    limits, images, weight, _ = layer_tensors(64, 64, dtype=torch.float32)
    images.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        output = block_conv2d(images, weight, None, row_blocks(limits, 64, 64), (1, 1), (1, 1))
        reference = F.conv2d(images, weight, padding=1)
    output.float().sum().backward()
    assert output.dtype == torch.bfloat16
    assert images.grad.dtype == torch.float32
    torch.testing.assert_close(output, reference, rtol=0.02, atol=0.2)


@pytest.mark.parametrize(
    ("shape", "pays"),
    [
        ((45, 45, 3, 3), False),
        ((45, 45, 5, 5), True),
        ((128, 128, 3, 3), True),
        ((256, 256, 1, 1), False),
        ((512, 512, 1, 1), True),
        ((128, 3, 3, 3), False),
    ],
)
def test_blocks_are_used_where_they_were_measured_to_be_faster(shape, pays):
    assert pays_to_skip(torch.empty(shape)) is pays
    assert not pays_to_skip(torch.empty(shape, device="meta"))


@pytest.mark.parametrize("width_mult", [1.0, 0.8, 0.5])
def test_a_large_layer_is_the_masked_convolution_at_every_width(width_mult):
    a, b = Channels(150), Channels(130)
    layer = TriangularConv2d(a, b, 3, padding=1).double()
    for dimension in (a, b):
        dimension.set_width_mult(width_mult)
    images = torch.randn(2, a.active, 4, 4, dtype=torch.float64)
    assert pays_to_skip(layer.active_weight())
    expected = F.conv2d(images, layer.active_weight(), layer.bias[: b.active], padding=1)
    torch.testing.assert_close(layer(images), expected, rtol=1e-12, atol=1e-12)


def test_a_large_layer_with_widths_set_one_by_one():
    a, b = Channels(150), Channels(130)
    layer = TriangularConv2d(a, b, 3, padding=1).double()
    for width_mult, other in ((1.0, 0.4), (0.4, 1.0)):
        a.set_width_mult(width_mult)
        b.set_width_mult(other)
        images = torch.randn(2, a.active, 4, 4, dtype=torch.float64, requires_grad=True)
        expected = F.conv2d(images, layer.active_weight(), layer.bias[: b.active], padding=1)
        output = layer(images)
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
        output.sum().backward()
        assert images.grad.shape == images.shape


def test_one_pass_is_the_same_with_and_without_blocks(monkeypatch):
    counts = {"conv1": 20, "conv2": 45, "conv3": 34}
    plain = small_lenet(base_width_mult=1.0, channels=counts).double().train()
    blocks = copy.deepcopy(plain)
    images, labels = torch.randn(4, 1, 16, 16, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    gradients = []
    for model, least in ((plain, float("inf")), (blocks, 0)):
        monkeypatch.setattr(skip_zeros, "MIN_INTENSITY", least)
        losses, _ = backward_one_pass(model, images, labels, [1.0, 0.7, 0.25])
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
        gradients[-1] = torch.cat([gradients[-1], losses])
    assert (gradients[0] - gradients[1]).norm() <= 1e-12 * gradients[0].norm()
    assert not blocks.conv2.weight.grad[0, 1:].any()


@pytest.mark.filterwarnings("default")  # the compiler's own
def test_a_step_with_blocks_compiles_without_a_break():
    torch._dynamo.reset()
    layer = TriangularConv2d(Channels(40), Channels(40), 5, padding=2)
    compiled = torch.compile(layer, fullgraph=True, dynamic=False, backend="aot_eager")
    images = torch.randn(2, 40, 6, 6)
    assert pays_to_skip(layer.weight)
    output = compiled(images)
    torch.testing.assert_close(output, layer(images))
    output.sum().backward()
    assert layer.weight.grad[0, 0].any()


@pytest.fixture
def large_layer():
    torch.manual_seed(0)
    layer = TriangularConv2d(Channels(40), Channels(40), 5, padding=2).double()
    assert pays_to_skip(layer.weight)
    return layer, torch.randn(3, 40, 6, 6, dtype=torch.float64)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_trace_has_plain_operations_and_serves_other_batches(large_layer):
    layer, images = large_layer
    traced = torch.jit.trace(layer, images[:2])
    assert "aten::_convolution" in str(traced.graph)
    assert "PythonOp" not in str(traced.graph)
    torch.testing.assert_close(traced(images), layer(images), rtol=1e-12, atol=1e-12)


def test_gradients_of_single_images_by_transforms(large_layer):
    layer, images = large_layer

    def loss(parameters, image):
        return functional_call(layer, parameters, image[None]).square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(dict(layer.named_parameters()), images)
    for number, image in enumerate(images):
        layer.zero_grad()
        layer(image[None]).square().sum().backward()
        for name, parameter in layer.named_parameters():
            torch.testing.assert_close(found[name][number], parameter.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, for its formulas
def test_forward_mode_derivatives(large_layer):
    layer, images = large_layer
    direction = torch.randn_like(images)
    expected = layer(images + direction) - layer(images)  # a convolution is linear
    torch.testing.assert_close(jvp(layer, (images,), (direction,))[1], expected, rtol=1e-10, atol=1e-10)
    with forward_ad.dual_level():
        dual = layer(forward_ad.make_dual(images, direction))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected, rtol=1e-10, atol=1e-10)


def test_an_exported_layer(large_layer):
    layer, images = large_layer
    exported = torch.export.export(layer, (images,)).module()
    torch.testing.assert_close(exported(images), layer(images), rtol=1e-12, atol=1e-12)
