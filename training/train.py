"""Train the pocket model from scratch; resumes from its checkpoint.

    python -m training.train --out runs/pocket --micrographs DIR --hours 2

The learning rate follows training time, not steps, so that its schedule ends on slow machines too.
Training can be stopped at any moment (Ctrl-C or kill; it saves first); the same command resumes it.
"""

from __future__ import annotations

import argparse
import copy
import math
import signal
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader

from napari_samstar.core.models.pocket import (
    IMAGE_SIZE,
    STRIDE,
    Pocket,
    build_pocket,
    grown,
    unpack,
)
from training import losses, real
from training.data import BatchConfig, Batches
from training.prompts import BACKGROUND, BOX, error_click

MAX_CORRECTIONS = 2  # rounds of corrective clicks; batches have 0, 1, 2 in turn


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="initial weights, such as the bundled ones")
    parser.add_argument("--micrographs", default=None)
    parser.add_argument("--hours", type=float, default=2.0, help="planned training time")
    parser.add_argument("--dense-share", type=float, default=0.08, help="of the time: no prompts")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--crops", type=int, default=8)
    parser.add_argument("--full-share", type=float, default=0.3, help="share of whole frames")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--save-minutes", type=float, default=4.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--decay", type=float, default=0.998, help="of the average of weights")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class TrainingRun:
    """Model, its running average, optimiser and training time: the content of a checkpoint."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        self.args = args
        self.model = build_pocket().train()
        if args.start is not None:
            start = {k: v.float() for k, v in load_file(args.start).items()}
            self.model.load_state_dict(grown(self.model, start))
            uncalibrate(self.model)
        self.model.to(args.device)
        self.model.image_encoder.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(),
            lr=args.rate,
            betas=(0.9, 0.99),
            weight_decay=0.02,
            fused=args.device.startswith("cuda"),
        )
        self.step, self.seconds = 0, 0.0
        args.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = args.out / "checkpoint.pt"
        if self.checkpoint.exists():
            self._restore()

    @property
    def progress(self) -> float:
        return min(self.seconds / (3600 * self.args.hours), 1.0)

    def rate(self) -> float:
        """Learning rate: warm-up over 100 steps, then cosine to 2 % over the planned time."""
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.progress))
        return self.args.rate * cosine * min((self.step + 1) / 100, 1)

    def update(self, loss: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for part in (self.model.image_encoder, self.model.mask_decoder, self.model.prompt_encoder):
            torch.nn.utils.clip_grad_norm_(part.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        decay = min(self.args.decay, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.model.parameters()), 1 - decay
            )

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)
        export(self.average, self.args.out / "average.safetensors", {"step": str(self.step)})

    def _restore(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.args.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def uncalibrate(model: Pocket) -> None:
    """Undo a calibration of the logits and of predicted IoU, for training."""
    model.prompt_encoder.mask_softness /= model.mask_decoder.sharpness
    model.mask_decoder.sharpness.fill_(1.0)
    model.mask_decoder.quality_power.fill_(1.0)


def export(model: Pocket, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the weights as fp16 safetensors."""
    state = {k: v.detach().cpu().half().contiguous() for k, v in model.state_dict().items()}
    partial = path.with_suffix(".partial")
    save_file(state, partial, {"arch": "pocket", "version": "2", **(metadata or {})})
    partial.chmod(0o644)  # safetensors makes the file readable by its owner only
    partial.replace(path)


def losses_of(
    model: Pocket, batch: dict[str, Tensor], with_prompts: bool, corrections: int
) -> dict[str, Tensor]:
    """Parts of the loss of one batch, with `corrections` rounds of corrective clicks."""
    image = batch["image"].contiguous(memory_format=torch.channels_last)
    with _half(image.device):
        embedding = model.image_encoder(image)
    embedding = embedding.float()
    parts = losses.dense_loss(unpack(embedding)[1], batch["dense"])
    if with_prompts and len(batch["owner"]):
        parts |= _prompted(model, embedding, batch, corrections)
    return parts


def _prompted(
    model: Pocket, embedding: Tensor, batch: dict[str, Tensor], corrections: int
) -> dict[str, Tensor]:
    decoder = _WindowDecoder(model, embedding)
    order = torch.argsort((batch["kind"] == BOX).int(), stable=True)
    batch = {k: v[order] if k in _PER_PROMPT else v for k, v in batch.items()}
    boxed = batch["kind"] == BOX
    points = batch["point"][~boxed, None]
    labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
    logits, iou = decoder.decode(batch["owner"], (points, labels), batch["box"][boxed])
    wanted = batch["kind"] != BACKGROUND
    parts = losses.prompt_loss(logits, iou, batch["target"], wanted)
    if corrections and int(wanted.sum()) >= 4:
        parts |= _corrected(decoder, batch, logits, iou, wanted, corrections)
    return parts


_PER_PROMPT = ("owner", "kind", "point", "box", "target")


def _corrected(
    decoder: _WindowDecoder,
    batch: dict[str, Tensor],
    logits: Tensor,
    iou: Tensor,
    wanted: Tensor,
    rounds: int,
) -> dict[str, Tensor]:
    """Parts of the loss of correction rounds, for every second prompt on an object.

    Each round adds a click on the error and passes the previous logits, as when a user corrects a
    mask: first the best of the three masks, then the single mask.
    """
    rows = torch.nonzero(wanted)[:, 0][::2]
    target, owner, box = batch["target"][rows], batch["owner"][rows], batch["box"][rows]
    boxed = batch["kind"][rows] == BOX
    every = torch.ones(len(rows), dtype=torch.bool, device=target.device)
    clicks, labels = batch["point"][rows, None], every.int()[:, None]
    previous = logits.detach()[rows, iou[rows, 1:].argmax(1) + 1]
    parts: dict[str, Tensor] = {}
    for number in range(2, 2 + rounds):
        click, label = error_click(previous, target)
        clicks = torch.cat([clicks, click[:, None]], 1)
        labels = torch.cat([labels, label[:, None]], 1)
        points = (clicks[~boxed], labels[~boxed])
        extra = (clicks[boxed, 1:], labels[boxed, 1:])
        logits_again, quality = decoder.decode(owner, points, box[boxed], previous, extra)
        again = losses.prompt_loss(logits_again, quality, target, every)
        parts[f"mask{number}"] = 0.7 / rounds * again["mask"]
        parts[f"iou{number}"] = 0.5 / rounds * again["iou"]
        previous = logits_again.detach()[:, 0]
    return parts


class _WindowDecoder:
    """Decodes prompts on a crop at a random position in the frame, to train all positions."""

    def __init__(self, model: Pocket, embedding: Tensor) -> None:
        self.model, self.embedding = model, embedding
        self.grid = tuple(embedding.shape[2:])
        free = IMAGE_SIZE // STRIDE - self.grid[0]
        self.origin = tuple(int(v) for v in torch.randint(0, free + 1, (2,)))

    def decode(
        self,
        owner: Tensor,
        points: tuple[Tensor, Tensor],
        boxes: Tensor,
        previous: Tensor | None = None,
        box_points: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits and predicted IoU; rows of `owner` and `previous`: points first, then boxes."""
        shift = torch.tensor(self.origin[::-1], device=boxes.device) * STRIDE
        embed = self.model.prompt_encoder.embed
        window = {"grid": self.grid, "origin": self.origin}
        n = len(points[0])
        masks = (None, None) if previous is None else (previous[:n, None], previous[n:, None])
        groups = []
        if n:
            groups.append(embed((points[0] + shift, points[1]), None, masks[0], **window))
        if len(boxes):
            extra = None if box_points is None else (box_points[0] + shift, box_points[1])
            groups.append(embed(extra, boxes + shift.repeat(2), masks[1], **window))
        sparse, dense = (torch.cat(part) for part in zip(*groups, strict=True))
        (r, c), (h, w) = self.origin, self.grid
        pe = self.model.prompt_encoder.get_dense_pe()[:, :, r : r + h, c : c + w]
        decode = self.model.mask_decoder.decode_each
        with _half(pe.device):
            masks, iou = decode(self.embedding[owner], pe, sparse, dense)
        return masks.float(), iou.float()


def _half(device: torch.device) -> torch.autocast:
    """bfloat16 for convolutions and matrix products on a GPU; float32 on a CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def on_device(device: str, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch on `device`; images and targets travel in small types."""
    moved = {k: v.to(device, non_blocking=True) for k, v in batch.items()}
    return moved | {"image": moved["image"].float(), "target": moved["target"].float() / 4}


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    run = TrainingRun(args)
    sources = real.load(real.folder(args.micrographs), "train")
    data = Batches(
        sources, args.seed + 1000 + run.step, BatchConfig(crops=args.crops), args.full_share
    )
    on_gpu = args.device.startswith("cuda")
    loader = iter(
        DataLoader(
            data,
            batch_size=None,
            num_workers=args.workers,
            prefetch_factor=4,
            pin_memory=on_gpu,
        )
    )
    print(f"start: step {run.step}, {run.seconds:.0f} s, {len(sources)} real images", flush=True)
    shown: dict[str, float] = {}
    last, saved = time.monotonic(), time.monotonic()
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stop.append(received))
    while run.progress < 1 and not stop:
        batch = on_device(args.device, next(loader))
        prompted = run.progress > args.dense_share
        parts = losses_of(run.model, batch, prompted, run.step % (MAX_CORRECTIONS + 1))
        loss = sum(parts.values())
        if not torch.isfinite(loss):
            print(f"{run.step}: loss is not finite, batch skipped", flush=True)
            continue
        run.update(loss)
        now = time.monotonic()
        run.seconds += now - last
        last = now
        if run.step % 2 == 0 or not on_gpu:  # reading a value waits for the GPU
            shown |= {k: _smooth(shown.get(k), float(v.detach())) for k, v in parts.items()}
        if run.step % 20 == 0:
            text = " ".join(f"{k} {v:.3f}" for k, v in shown.items())
            print(f"{run.step} {run.seconds:.0f}s rate {run.rate():.1e} {text}", flush=True)
        if now - saved > 60 * args.save_minutes:
            run.save()
            saved = time.monotonic()
    run.save()


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else 0.95 * old + 0.05 * new


if __name__ == "__main__":
    main()
