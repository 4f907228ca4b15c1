"""What a network is given: the call that is made, and parts of it."""

from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch
from torch import Tensor

from resviz.given import Inputs, by_keyword, by_position

X = torch.arange(24.0).view(2, 3, 2, 2)
T = torch.arange(6).view(2, 3)


def called(*args, **kwargs):
    return args, kwargs


def test_a_tensor_is_the_only_argument():
    inputs = Inputs.of(X)
    assert inputs.names == ("0",)
    assert (len(inputs), inputs.count, inputs.shape) == (1, 2, (2, 3, 2, 2))
    assert inputs.run(called) == ((X,), {})


def test_a_tuple_goes_by_position_with_what_is_no_tensor():
    inputs = Inputs.of((X, None, T, 3))
    assert inputs.names == ("0", "2")
    args, kwargs = inputs.run(called)
    assert args[0] is X
    assert args[1] is None
    assert args[2] is T
    assert args[3] == 3
    assert not kwargs


def test_a_dictionary_goes_by_keyword():
    inputs = by_keyword(UserDict({"ids": T, "pixels": X, "use_cache": False, "sizes": [(2, 2)]}))
    assert inputs.names == ("ids", "pixels")
    _, kwargs = inputs.run(called)
    assert kwargs["ids"] is T
    assert kwargs["pixels"] is X
    assert (kwargs["use_cache"], kwargs["sizes"]) == (False, [(2, 2)])


def test_tensors_inside_are_found_and_put_back():
    pair = namedtuple("pair", ["left", "right"])
    inputs = by_position(({"rgb": X, "more": [T, pair(X, None)]},))
    assert inputs.names == ("rgb", "more.0", "more.1.left")
    ((back,), _) = inputs.each(lambda tensor: tensor + 1).run(called)
    assert torch.equal(back["rgb"], X + 1)
    assert torch.equal(back["more"][0], T + 1)
    assert type(back["more"][1]) is pair
    assert back["more"][1].right is None


@pytest.mark.parametrize(
    ("given", "main"),
    [
        ((T, X), 1),  # the picture, wherever it stands
        ((torch.zeros(2, 5), X), 1),
        ((X, X), 0),
        ((T, torch.zeros(2, 5)), 0),  # tokens, and how much each counts
        ((T, T), 0),
        ((torch.zeros(2, 5), torch.zeros(2, 1, 9)), 1),  # a signal beside a table
    ],
)
def test_the_input_that_maps_are_about(given, main):
    assert Inputs.of(given).main == main


def test_parts_leave_what_is_one_row_for_all():
    places, scale = torch.arange(3)[None], torch.tensor(2.0)
    one = Inputs.of((X, places, scale)).part(slice(1, 2))
    assert torch.equal(one[0], X[1:])
    assert one[1] is places
    assert one[2] is scale
    picked = Inputs.of((X, T)).part(torch.tensor([1, 0]))
    assert torch.equal(picked[0], X.flip(0))
    assert torch.equal(picked[1], T.flip(0))


def test_variants_of_an_image_keep_its_other_inputs():
    several = torch.rand(5, 3, 2, 2)
    inputs = Inputs.of((T, X)).variants(1, several)
    assert torch.equal(inputs[0], T[1:].expand(5, 3))
    assert inputs[1] is several


def test_a_list_of_images_is_one_argument():
    images = [torch.rand(3, 4, 4), torch.rand(3, 4, 4)]
    inputs = Inputs(tuple(images), ("0", "1"), listed=True)
    assert (inputs.count, inputs.shape) == (2, (2, 3, 4, 4))
    assert torch.equal(inputs.picture, torch.stack(images))
    (one,), _ = inputs.one(1).run(called)
    assert one == [images[1]]
    (many,), _ = inputs.one(1).repeated(3).run(called)
    assert [tensor is images[1] for tensor in many] == [True] * 3
    (varied,), _ = inputs.variants(0, torch.zeros(2, 3, 4, 4)).run(called)
    assert [tuple(tensor.shape) for tensor in varied] == [(3, 4, 4)] * 2
    assert [t is images[1] for t in inputs.part(torch.tensor([1]))] == [True]


def test_images_of_different_sizes_have_no_picture():
    inputs = Inputs((torch.rand(3, 4, 4), torch.rand(3, 5, 4)), ("0", "1"), listed=True)
    assert not inputs.is_even
    with pytest.raises(ValueError, match="of different sizes"):
        _ = inputs.picture


def test_leaves_are_differentiated_where_that_is_possible():
    inputs = Inputs.of((X, T)).leaves()
    assert [tensor.requires_grad for tensor in inputs] == [True, False]
    assert inputs[0].data_ptr() != X.data_ptr()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (X.numpy(), r"images are a ndarray of shape \(2, 3, 2, 2\).*torch.from_numpy"),
        ("cat.png", "images are a str"),
        ((X, np.zeros(2)), r"images\['1'\] is a ndarray of shape \(2,\)"),
        (([1, 2], [3, 4]), "images are a int"),
        (None, "images are a NoneType"),
    ],
)
def test_what_is_no_tensor(given, words):
    with pytest.raises(TypeError, match=words):
        Inputs.of(given)


def test_tokens_that_are_lists():
    with pytest.raises(TypeError, match="return_tensors='pt'"):
        by_keyword({"input_ids": [[1, 2]], "attention_mask": [[1, 1]]})


def test_as_convenient_as_a_tuple():
    inputs = Inputs.of((X, T))
    assert [tensor is each for tensor, each in zip(inputs, (X, T), strict=True)] == [True] * 2
    assert isinstance(inputs[1], Tensor)


def test_who_may_attend_to_whom_is_for_all_images():
    tokens, mask = torch.rand(2, 6, 4), torch.zeros(6, 6)
    inputs = Inputs.of((tokens, mask))
    assert inputs.lengths == {2}
    one = inputs.one(1)
    assert one[0].shape == (1, 6, 4) and one[1] is mask and one.part(slice(0, 1))[1] is mask
    mine = one.variants(0, torch.rand(5, 6, 4))[1]  # a copy: a network may write over it
    assert mine is not mask and torch.equal(mine, mask)


def test_a_mask_that_may_have_a_row_for_each_image_or_each_position():
    sequences, mask = torch.rand(4, 4, 6), torch.zeros(4, 4)
    inputs = Inputs.of((sequences, mask))
    assert inputs.run(called)[0] == (sequences, mask)
    assert inputs.part(slice(0, 4))[1].shape == (4, 4)
    with pytest.raises(ValueError, match=r"\(4, 4\) beside as many images.*another number of im"):
        inputs.one()
    assert Inputs.of((torch.rand(3, 4, 6), mask)).one()[1] is mask
    ids = torch.zeros(4, 4, dtype=torch.long)  # of tokens alone it is the attention mask, (N, T)
    assert Inputs.of((ids, mask)).one()[1].shape == (1, 4)
    assert Inputs.of((torch.rand(4, 4, 8, 8), mask)).one()[1].shape == (1, 4)  # a table


def test_as_many_rows_in_each_input():
    uneven = Inputs.of((torch.rand(2, 5), torch.rand(3, 5)))
    with pytest.raises(ValueError, match=r"inputs for \[2, 3\] images; as many in each"):
        uneven.run(lambda a, b: torch.cat([a, b], 1))
    assert uneven.run(lambda a, b: a.sum() + b.sum()).ndim == 0  # a graph: nodes and edges
    with pytest.raises(RuntimeError, match="Sizes of tensors"):
        Inputs.of((X, X[..., :1, :])).run(lambda a, b: torch.cat([a, b], 1))
