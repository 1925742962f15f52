"""im2rec: lists of image files, and files of records made from them.

    im2rec PREFIX ROOT --list --recursive     writes PREFIX.lst: the images below ROOT with their classes
    im2rec PREFIX ROOT --resize 256           packs the images of each PREFIX*.lst into a .rec with an .idx
    im2rec IMAGES.lst ROOT OUT.rec resize=256 does the same for one list, as the first im2rec did; without an index

Options are those of MXNet's tools/im2rec.py; they may be abbreviated, and a flag may have a value (`--list=1`).
"""

from __future__ import annotations

import argparse
import os
import signal
import struct
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import MXNetError
from .image_list import Listed, class_names, find_images, read_list, read_list_part, split_list, write_lines, write_list
from .packing import Options, Packer, label_header, verify
from .progress import Progress

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
FLAGS = (
    "--list",
    "--recursive",
    "--shuffle",
    "--no-shuffle",
    "--pass-through",
    "--center-crop",
    "--pack-label",
    "--verify",
)


def truth(text: str) -> bool:
    """The value of a flag."""
    if text.lower() not in _TRUE + _FALSE:
        raise argparse.ArgumentTypeError(f"a flag is True or False, got {text!r}")
    return text.lower() in _TRUE


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="im2rec",
        description="Makes lists of images, and files of records from them.",
        epilog="`im2rec IMAGES.lst ROOT OUT.rec key=value...` is also understood; its keys are "
        + ", ".join(OLD_DEFAULTS)
        + ".",
    )
    found.add_argument("prefix", help="what the names of the .lst, .rec and .idx files begin with")
    found.add_argument("root", help="the folder of the images")

    def flag(group: Any, name: str, help: str, default: bool = False) -> None:
        group.add_argument(name, type=truth, nargs="?", const=True, default=default, metavar="BOOL", help=help)

    lists = found.add_argument_group("making lists")
    flag(lists, "--list", "make a list of the images below the folder, PREFIX.lst")
    lists.add_argument("--exts", nargs="+", default=[".jpeg", ".jpg", ".png"], help="endings of images (%(default)s)")
    lists.add_argument("--chunks", type=int, default=1, help="number of lists to make (%(default)s)")
    lists.add_argument("--train-ratio", type=float, default=1.0, help="part of the images to train on (%(default)s)")
    lists.add_argument("--test-ratio", type=float, default=0.0, help="part of the images to test with (%(default)s)")
    flag(lists, "--recursive", "also look in folders below; each folder with images is a class")
    flag(lists, "--shuffle", "put the images into a random order, always the same one (on)", True)
    flag(lists, "--no-shuffle", "keep the order of the names")
    packs = found.add_argument_group("packing")
    flag(packs, "--pass-through", "store files as they are")
    packs.add_argument("--resize", type=int, default=0, help="length of the shorter edge (0: keep the size)")
    flag(packs, "--center-crop", "cut the middle out, as a square, before resizing")
    packs.add_argument("--quality", type=int, default=95, help="JPEG's, 1-100, or PNG's compression, 0-9 (%(default)s)")
    packs.add_argument("--num-thread", "--num-threads", type=int, default=1, help="number of threads (%(default)s)")
    packs.add_argument(
        "--color", type=int, default=1, choices=[-1, 0, 1], help="1 colours, 0 gray, -1 what is stored (%(default)s)"
    )
    packs.add_argument("--encoding", default=".jpg", choices=[".jpg", ".png"], help="format to store (%(default)s)")
    flag(packs, "--pack-label", "store all labels of a line, not only the first")
    flag(packs, "--verify", "read everything back when it is written")
    return found


def with_values(arguments: Sequence[str]) -> list[str]:
    """Gives every flag its value with an equals sign: argparse would take whatever comes behind it, or nothing."""
    out: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        meant = [flag for flag in FLAGS if word.startswith("--") and len(word) > 2 and flag.startswith(word)]
        if word == "--":
            return [*out, word, *rest]
        if meant and (word in meant or len(_options_like(word)) == 1):
            value = rest.pop(0) if rest and rest[0].lower() in _TRUE + _FALSE else "True"
            word = f"{meant[0] if word not in meant else word}={value}"
        out.append(word)
    return out


def _options_like(word: str) -> list[str]:
    return [option for option in parser()._option_string_actions if option.startswith(word)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    old_terminate = _terminate_like_interrupt()
    try:
        if len(arguments) >= 3 and arguments[0].endswith(".lst") and all("=" in a for a in arguments[3:]):
            return old_form(arguments)
        chosen = parser().parse_args(with_values(arguments))
        chosen.prefix, chosen.root = os.path.abspath(chosen.prefix), os.path.abspath(chosen.root)
        _check(chosen)
        return make_lists(chosen) if chosen.list else pack_lists(chosen)
    except (OSError, MXNetError, ValueError) as error:
        print(f"im2rec: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("im2rec: interrupted; unfinished files were removed", file=sys.stderr)
        return 130
    finally:
        if old_terminate is not None:
            signal.signal(signal.SIGTERM, old_terminate)


def _terminate_like_interrupt() -> Any:
    """A polite request to end cleans up, too. Only the main thread may ask for that."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        return signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        return None


def _check(chosen: argparse.Namespace) -> None:
    if not os.path.isdir(chosen.root):
        raise ValueError(f"there is no folder {chosen.root}")
    if chosen.chunks < 1 or chosen.num_thread < 1:
        raise ValueError(f"--chunks and --num-thread are at least 1, got {chosen.chunks} and {chosen.num_thread}")
    ratios = chosen.train_ratio, chosen.test_ratio
    if not all(0 <= ratio <= 1 for ratio in ratios):
        raise ValueError(f"--train-ratio and --test-ratio are from 0 to 1, got {ratios[0]} and {ratios[1]}")
    if chosen.resize < 0:
        raise ValueError(f"--resize is a number of pixels, or 0, got {chosen.resize}")
    if not 0 <= chosen.quality <= 100:
        raise ValueError(f"--quality is from 0 to 100, got {chosen.quality}")


def make_lists(chosen: argparse.Namespace) -> int:
    images, classes = find_images(chosen.root, chosen.recursive, chosen.exts)
    for label, folder in enumerate(classes):
        _say(f"{folder} {label}")
    if not images:
        raise ValueError(f"{chosen.root} has no images that end in {', '.join(chosen.exts)}" + _hint(chosen))
    shuffle = chosen.shuffle and not chosen.no_shuffle
    for name, part in split_list(images, shuffle, chosen.chunks, chosen.train_ratio, chosen.test_ratio):
        write_list(f"{chosen.prefix}{name}.lst", part)
    if classes:
        write_classes(chosen.prefix, classes)
    return 0


def _hint(chosen: argparse.Namespace) -> str:
    return "" if chosen.recursive else "; --recursive also looks in the folders below"


def write_classes(prefix: str, classes: Sequence[str]) -> None:
    """Names of the classes, in the order of their labels, one a line."""
    write_lines(f"{prefix}.classes.txt", (f"{name}\n" for name in classes))


def pack_lists(chosen: argparse.Namespace) -> int:
    folder = chosen.prefix if os.path.isdir(chosen.prefix) else os.path.dirname(chosen.prefix)
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    lists = [p for p in paths if p.startswith(chosen.prefix) and p.endswith(".lst") and os.path.isfile(p)]
    if not lists:
        raise ValueError(f"there is no list {chosen.prefix}*.lst; --list makes one")
    options = Options(
        chosen.pass_through,
        chosen.resize,
        chosen.center_crop,
        chosen.quality,
        chosen.color,
        chosen.encoding,
        threads=chosen.num_thread,
    )
    results = []
    for path in lists:
        _say(f"Creating .rec file from {path} in {folder}")
        results.append(pack_list(path, chosen, options))
    return 0 if all(results) else 1


def pack_list(path: str, chosen: argparse.Namespace, options: Options) -> bool:
    """Packs the images of one list; whether that gave records, and good ones if they were to be verified."""
    unusable = 0

    def unusable_line(text: str) -> None:
        nonlocal unusable
        unusable += 1
        _report(text)

    images = read_list(path, unusable_line)
    if not images:
        _report(f"{path} lists no images; nothing was packed")
        return False
    stem = path.removesuffix(".lst")
    packer = Packer(chosen.root, options, lambda image: label_header(image, chosen.pack_label), _report)
    _pack(packer, images, stem + ".rec", stem + ".idx", unusable)
    classes = class_names(images)
    if classes and not os.path.exists(f"{chosen.prefix}.classes.txt"):
        write_classes(stem, classes)
    if not chosen.verify:
        return packer.packed > 0
    wrong = verify(stem + ".rec", stem + ".idx", images, True, _report)
    _say(f"{stem}.rec: {'every record is good' if not wrong else f'{wrong} records are wrong'}")
    return packer.packed > 0 and not wrong


def _say(text: str) -> None:
    """Prints; names of files need not be UTF-8."""
    print(text.encode(errors="surrogateescape").decode(errors="replace"), flush=True)


def _report(text: str) -> None:
    print(f"im2rec: {text}".encode(errors="surrogateescape").decode(errors="replace"), file=sys.stderr, flush=True)


def _pack(packer: Packer, images: Sequence[Listed], record: str, index: str | None, unusable: int) -> None:
    progress = Progress(len(images), "images")
    packer.pack(images, record, index, progress)
    progress.clear()
    text = f"{record}: {packer.packed} images packed, {progress.rate:,.0f}/s"
    if packer.skipped:
        text += f"; {packer.skipped} skipped, for the reasons above"
    if unusable:
        text += f"; {unusable} lines of the list were unusable"
    _say(text)


# ---- im2rec image.lst root out.rec key=value... ----

OLD_DEFAULTS: dict[str, Any] = {
    "resize": -1,
    "label_width": 1,
    "pack_label": 0,
    "nsplit": 1,
    "part": 0,
    "center_crop": 0,
    "quality": 95,
    "color": 1,
    "encoding": ".jpg",
    "inter_method": 1,
    "unchanged": 0,
    "num_thread": 1,
}


def old_form(arguments: Sequence[str]) -> int:
    """What the first im2rec did: one list, blanks between its columns, no index."""
    path, root, record = arguments[:3]
    chosen = dict(OLD_DEFAULTS)
    for argument in arguments[3:]:
        key, _, text = argument.partition("=")
        if key not in chosen:
            raise ValueError(f"there is no option {key!r}; options are {', '.join(chosen)}")
        try:
            chosen[key] = type(OLD_DEFAULTS[key])(text)
        except ValueError:
            raise ValueError(f"{key} is a whole number, got {text!r}") from None
    if not 0 <= chosen["part"] < chosen["nsplit"]:
        raise ValueError(f"part must be between 0 and nsplit - 1, got {chosen['part']} of {chosen['nsplit']}")
    if chosen["encoding"] not in (".jpg", ".png") or chosen["color"] not in (-1, 0, 1) or chosen["label_width"] < 1:
        raise ValueError("encoding is .jpg or .png, color is -1, 0 or 1, label_width at least 1")
    images = read_list_part(path, chosen["label_width"], chosen["part"], chosen["nsplit"])
    if not images:
        raise ValueError(f"{path} lists no images; nothing was packed")
    if chosen["nsplit"] > 1:
        record += f".part{chosen['part']:03d}"

    def header(image: Listed) -> bytes:
        labels = np.asarray(image.labels, "<f4")
        flag = len(labels) if chosen["pack_label"] else 0
        return struct.pack("<IfQQ", flag, labels[0], image.number, 0) + (labels.tobytes() if flag else b"")

    options = Options(
        bool(chosen["unchanged"]),
        max(chosen["resize"], 0),
        bool(chosen["center_crop"]),
        chosen["quality"],
        chosen["color"],
        chosen["encoding"],
        chosen["inter_method"],
        chosen["num_thread"],
    )
    packer = Packer(root, options, header, _report)
    _pack(packer, images, record, None, 0)
    return 0 if packer.packed else 1


if __name__ == "__main__":
    raise SystemExit(main())
