"""Precision "fast", checked on the CPU: the same mathematics, and what happens without memory."""

from __future__ import annotations

import contextlib
import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segment_anything.modeling import image_encoder as vit
from torch import nn

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import SETTINGS, AmgConfig
from napari_samstar.core.amg.decode import decode_prompts
from napari_samstar.core.amg.fallback import ON_CPU
from napari_samstar.core.amg.ladder import N_OFFSETS, OFFSET_STEP
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.masks.store import MaskStore
from napari_samstar.core.models.encoder import embedding_key
from napari_samstar.core.models.fast import FastBackend, faster, half_type, prompts_that_fit
from napari_samstar.core.models.fast_attention import (
    FUSED,
    FusedImageAttention,
    FusedTokenAttention,
    SharingMaskDecoder,
)
from napari_samstar.core.models.loading import load
from napari_samstar.core.models.sam_backend import SamBackend
from napari_samstar.core.models.shadow import shadow
from napari_samstar.core.progress import run
from napari_samstar.core.prompts.base import Prompts
from tests.core.tiny import tiny_model

if TYPE_CHECKING:
    from napari_samstar.core.amg.candidates import Candidates
    from napari_samstar.core.models.backend import LoadedModel

CONFIG = AmgConfig(points_per_side=6, pred_iou_thresh=0.3, stability_score_thresh=0.5)
FEWER = "fewer were decoded at once"


class OnDevice(FastBackend):
    """The fast form as on a GPU, but on the CPU and, unless asked otherwise, in float32."""

    measures_on_device = True
    prompts_at_once = 64
    in_half = False

    def _arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        return super()._arithmetic() if self.in_half else contextlib.nullcontext()


class InHalf(OnDevice):
    in_half = True


def small_sam() -> Sam:
    """A SAM with all of upstream's parts, windowed and global layers and relative positions."""
    torch.manual_seed(0)
    sam = Sam(
        image_encoder=ImageEncoderViT(
            img_size=256, embed_dim=32, depth=2, num_heads=2, out_chans=64, use_rel_pos=True,
            global_attn_indexes=(1,), window_size=6, norm_layer=partial(nn.LayerNorm, eps=1e-6),
        ),
        prompt_encoder=PromptEncoder(64, (16, 16), (256, 256), 16),
        mask_decoder=MaskDecoder(
            transformer_dim=64, transformer=TwoWayTransformer(2, 64, num_heads=4, mlp_dim=64)
        ),
    )  # fmt: skip
    for name, parameter in sam.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.normal_(parameter, std=0.3)
    return sam.eval().requires_grad_(False)


def picture(rows: int = 180, cols: int = 230) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (rows, cols, 3), dtype=np.uint8)


def attention(dim: int, heads: int, size: tuple[int, int]) -> vit.Attention:
    torch.manual_seed(0)
    layer = vit.Attention(dim, heads, use_rel_pos=True, input_size=size)
    for table in (layer.rel_pos_h, layer.rel_pos_w):
        nn.init.normal_(table, std=0.5)
    return layer.eval().requires_grad_(False)


# --- attention --------------------------------------------------------------------------------


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("heads_at_once", [0, 1])
@pytest.mark.parametrize(
    ("batch", "size", "dim", "heads"),
    [(3, (14, 14), 64, 2), (1, (9, 7), 64, 4), (1, (32, 32), 64, 2), (2, (14, 14), 768, 12)],
    ids=["windows", "oblong", "global", "vit_b"],
)
def test_fused_attention_equals_upstreams(batch, size, dim, heads, heads_at_once, folded):
    layer = attention(dim, heads, size)
    fused = shadow(layer, FUSED)
    assert isinstance(fused, FusedImageAttention)
    fused.heads_at_once, fused.folded = heads_at_once, folded
    x = torch.randn(batch, *size, dim)
    assert torch.allclose(fused(x), layer(x), atol=1e-5)


def test_relative_positions_of_another_size_are_interpolated_as_upstream_does():
    layer = attention(64, 2, (8, 8))
    x = torch.randn(1, 12, 12, 64)
    assert torch.allclose(shadow(layer, FUSED)(x), layer(x), atol=1e-5)


@pytest.mark.parametrize("window", [14, 0], ids=["windowed", "global"])
def test_a_vit_b_block_equals_upstreams(window):
    torch.manual_seed(0)
    block = vit.Block(
        768, 12, use_rel_pos=True, rel_pos_zero_init=False, window_size=window, input_size=(20, 20)
    )
    block.eval().requires_grad_(False)
    for table in (block.attn.rel_pos_h, block.attn.rel_pos_w):
        nn.init.normal_(table, std=0.3)
    x = torch.randn(1, 20, 20, 768)
    assert torch.allclose(shadow(block, FUSED)(x), block(x), atol=1e-5)


def test_the_whole_model_answers_as_upstreams_and_upstreams_is_left_alone():
    sam = small_sam()
    before = [type(m) for m in sam.modules()]
    exact, fast = SamBackend(sam), OnDevice(sam)
    assert [type(m) for m in sam.modules()] == before
    kinds = {type(m) for m in fast._runs.modules()}
    assert {FusedImageAttention, FusedTokenAttention, SharingMaskDecoder} <= kinds
    assert {p.data_ptr() for p in fast._runs.parameters()} == {
        p.data_ptr() for p in sam.parameters()
    }
    one, other = exact.encode(picture()), fast.encode(picture())
    assert torch.allclose(one.features, other.features, atol=1e-5)
    points = np.random.default_rng(1).uniform(0, 180, (5, 1, 2))
    labels = np.ones((5, 1), dtype=np.int64)
    boxes = np.array([[10.0, 20, 60, 90]] * 5)
    for given in ((points, labels, None), (None, None, boxes), (points, labels, boxes)):
        expected = exact.decode(one, *given, multimask=True)
        for mine, theirs in zip(fast.decode(one, *given, multimask=True), expected, strict=True):
            assert torch.allclose(mine, theirs, atol=1e-5)


def test_prompts_and_positions_stay_in_float32_under_autocast():
    fast = InHalf(small_sam())
    seen: list[torch.dtype] = []
    fast._runs.mask_decoder.register_forward_pre_hook(
        lambda _, __, given: seen.extend(v.dtype for v in given.values() if torch.is_tensor(v)),
        with_kwargs=True,
    )
    embedding = fast.encode(picture())
    logits, quality = fast.decode(
        embedding, np.full((2, 1, 2), 50.0), np.ones((2, 1), int), None, multimask=True
    )
    assert seen == [torch.float32] * 4
    assert {embedding.features.dtype, logits.dtype, quality.dtype} == {torch.float32}


# --- masks ------------------------------------------------------------------------------------


def decoded(backend: SamBackend, *, tile: bool = False) -> Candidates:
    prompts = Prompts.single_points(np.random.default_rng(2).uniform(0, 180, (40, 2)))
    box, shape = (70, 30, 300, 210), (260, 340)
    embedding = backend.encode(picture())
    return run(decode_prompts(backend, embedding, box, shape, prompts, 16, tile=tile))


def dense(candidates: Candidates) -> list[np.ndarray]:
    store = MaskStore((260, 340))
    store.extend(candidates.masks)
    return [store.dense(k) for k in range(len(store))]


def overlaps(one: Candidates, other: Candidates) -> np.ndarray:
    pairs = zip(dense(one), dense(other), strict=True)
    return np.array(
        [(a & b).sum() / max(1, (a | b).sum()) if (a | b).any() else 1 for a, b in pairs]
    )


class SameLogits(SamBackend):
    """The exact model, whose masks are measured as on a GPU."""

    measures_on_device = True


@pytest.mark.parametrize("name", ["tiny", "pocket"])
def test_masks_measured_on_the_device_are_the_same_bit_for_bit(name):
    model = tiny_model(3) if name == "tiny" else load("pocket", "cpu")
    one, other = decoded(model.backend), decoded(SameLogits(model.sam))
    for a, b in zip(one.masks, other.masks, strict=True):
        assert (a.box, a.area) == (b.box, b.area)
    assert all(np.array_equal(a, b) for a, b in zip(dense(one), dense(other), strict=True))
    for column in ("predicted_iou", "boxes", "near_edge", "batch", "points"):
        assert torch.equal(getattr(one, column), getattr(other, column))
    assert torch.allclose(one.stability, other.stability, rtol=0, atol=0, equal_nan=True)


def test_the_ladder_reaches_the_largest_stability_shift():
    assert SETTINGS["stability_score_offset"].high == pytest.approx(N_OFFSETS * OFFSET_STEP)


def test_tiles_are_measured_alike_on_the_device():
    model = load("pocket", "cpu")
    one, other = decoded(model.backend, tile=True), decoded(SameLogits(model.sam), tile=True)
    assert overlaps(one, other).min() > 0.99
    assert not other.near_edge.any()


def test_half_precision_changes_few_pixels():
    model = tiny_model(3)
    assert overlaps(decoded(model.backend), decoded(InHalf(model.sam))).mean() > 0.97
    model = load("pocket", "cpu")
    assert overlaps(decoded(model.backend), decoded(InHalf(model.sam))).mean() > 0.9


# --- memory -----------------------------------------------------------------------------------


class Scarce(OnDevice):
    """Runs out of memory above a number of prompts, and of heads of attention."""

    most_prompts = 64
    most_heads = 64
    error: RuntimeError = torch.OutOfMemoryError("no memory")
    sizes: list[int]

    def decode(self, embedding, points, *rest, **how):
        self.sizes.append(len(points))
        if len(points) > self.most_prompts:
            raise self.error
        return super().decode(embedding, points, *rest, **how)

    def _arithmetic(self):
        if (self._heads[0] or 64) > self.most_heads:
            raise self.error
        return super()._arithmetic()


def scarce_bank(**most: int) -> tuple[ProposalBank, Scarce]:
    model = tiny_model(3)
    backend = Scarce(small_sam() if "most_heads" in most else model.sam)
    backend.sizes = []
    for name, value in most.items():
        setattr(backend, name, value)
    loaded = dataclasses.replace(model, backend=backend, precision="fast")
    return ProposalBank(Micrograph(picture()), loaded), backend


def candidates_of(bank: ProposalBank) -> Candidates:
    run(bank.prepare(CONFIG))
    return bank.tables(CONFIG)[0].candidates


def test_too_large_a_batch_is_halved_for_good_and_the_user_is_told_once():
    bank, backend = scarce_bank(most_prompts=10)
    found = candidates_of(bank)
    assert backend.sizes == [36, 18, 9, 9, 9, 9]
    assert len(found.masks) == 3 * 36
    assert [FEWER in note for note in bank.image.notes] == [True]
    whole = candidates_of(scarce_bank()[0])
    assert [m.area for m in found.masks] == pytest.approx([m.area for m in whole.masks], abs=3)


def test_libraries_without_memory_for_their_workspace_are_understood():
    bank, backend = scarce_bank(most_prompts=20)
    backend.error = RuntimeError("GET was unable to find an engine to execute this computation")
    candidates_of(bank)
    assert backend.sizes == [36, 18, 18]
    bank, backend = scarce_bank(most_prompts=20)
    backend.error = RuntimeError("shapes do not match")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        candidates_of(bank)


def test_without_memory_for_one_prompt_the_cpu_computes_the_image():
    bank, backend = scarce_bank(most_prompts=0)
    found = candidates_of(bank)
    assert backend.sizes == [36, 18, 9, 4, 2, 1]
    assert bank.image.notes[-1] == ON_CPU
    model = tiny_model(3)
    exact = ProposalBank(Micrograph(picture()), model)
    assert torch.equal(candidates_of(exact).predicted_iou, found.predicted_iou)
    # Later parts of the same image go to the CPU at once.
    run(bank.prepare(CONFIG.replace(points_per_side=4)))
    assert backend.sizes[6:] == []


def test_the_encoder_takes_heads_in_parts_and_then_the_cpu():
    bank, backend = scarce_bank(most_heads=1)
    candidates_of(bank)
    assert backend._heads == (1,)
    assert bank.image.notes == ()
    bank, _ = scarce_bank(most_heads=0)
    assert len(candidates_of(bank).masks) == 3 * 36
    assert bank.image.notes == (ON_CPU,)


def test_a_model_that_cannot_move_to_the_cpu_says_so():
    class Fixed(Scarce):
        on_cpu = None

    model = tiny_model(3)
    backend = Fixed(model.sam)
    backend.sizes, backend.most_prompts = [], 0
    bank = ProposalBank(Micrograph(picture()), dataclasses.replace(model, backend=backend))
    with pytest.raises(UserError, match="choose a smaller model"):
        candidates_of(bank)


def test_the_number_of_prompts_follows_the_free_memory():
    gib = 2**30
    assert [prompts_that_fit(n * gib, 40 * 2**20) for n in (1, 8, 24, 80)] == [64, 64, 256, 512]


# --- choosing it ------------------------------------------------------------------------------


def test_on_the_cpu_fast_changes_nothing_and_says_so():
    reference, fast = load("pocket", "cpu"), load("pocket", "cpu", precision="fast")
    assert type(fast.backend) is SamBackend
    assert "changes nothing on the CPU" in fast.device_reason
    assert reference.device_reason in fast.device_reason
    crop = picture()
    assert embedding_key(fast, crop) == embedding_key(reference, crop)


def test_fast_embeddings_are_kept_apart():
    model = tiny_model(3)
    fast: LoadedModel = dataclasses.replace(model, backend=FastBackend(model.sam))
    assert embedding_key(fast, picture()) != embedding_key(model, picture())


def test_a_fast_model_learns_in_float32_and_stays_fast():
    fast = InHalf(small_sam())
    learned = fast.copy_of_decoder()
    assert not any(isinstance(m, FusedTokenAttention) for m in learned.modules())
    weights = {name: w + 1 for name, w in fast.decoder_weights().items()}
    other = fast.with_decoder_weights(weights)
    assert isinstance(other, FastBackend)
    assert other.options == fast.options
    bias = "iou_prediction_head.layers.2.bias"
    assert torch.equal(other.decoder_weights()[bias], weights[bias])


def test_a_model_of_another_family_has_no_fast_form():
    class Other:
        device = torch.device("cuda")

    other = Other()
    backend, note = faster(other)  # type: ignore[arg-type]
    assert backend is other
    assert "no fast form" in note


def test_half_precision_suits_the_device():
    assert half_type(torch.device("mps")) == torch.float16
    assert half_type(torch.device("cpu")) == torch.bfloat16


def test_a_compiled_encoder_answers_alike(monkeypatch):
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    sam = small_sam()
    backend = FastBackend(sam, compiled=True)
    assert compiled == list(backend._runs.image_encoder.blocks)
    plain = FastBackend(sam).encode(picture()).features
    assert torch.equal(backend.encode(picture()).features, plain)
