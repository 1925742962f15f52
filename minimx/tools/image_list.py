"""Lists of images (.lst files): one line for each, with its number, its labels and its path."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..base import FileFormatError


class Listed(NamedTuple):
    """An image of a list."""

    number: int
    path: str
    labels: Sequence[float]


def find_images(root: str, recursive: bool, extensions: Sequence[str]) -> tuple[list[Listed], list[str]]:
    """Images below a folder, and the folders that are their classes (if recursive), in the order of their labels."""
    wanted = {e.lower() for e in extensions}
    images: list[Listed] = []
    classes: dict[str, int] = {}

    def add(folder: str, names: Iterable[str], label: Callable[[], int]) -> None:
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.splitext(name)[1].lower() in wanted and os.path.isfile(path):
                images.append(Listed(len(images), os.path.relpath(path, root), (label(),)))

    if not recursive:
        add(root, os.listdir(root), lambda: 0)
        return images, []
    for folder, folders, names in os.walk(root, followlinks=True):
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in _ancestors(folder, root):
            folders.clear()  # a link to a folder above it: there would be no end
            continue
        folders.sort()
        add(folder, names, lambda: classes.setdefault(folder, len(classes)))  # noqa: B023
    return images, [os.path.relpath(folder, root) for folder in classes]


def _ancestors(folder: str, root: str) -> set[tuple[int, int]]:
    """The folders above one, up to the root of the search."""
    found = set()
    while folder != root and (above := os.path.dirname(folder)) != folder:
        folder = above
        info = os.stat(folder)
        found.add((info.st_dev, info.st_ino))
    return found


def split_list(
    images: list[Listed], shuffle: bool, chunks: int, train_ratio: float, test_ratio: float
) -> Iterator[tuple[str, list[Listed]]]:
    """Parts of a list with what comes behind the prefix in their files' names."""
    if shuffle:
        images = list(images)
        random.Random(100).shuffle(images)
    size = -(-len(images) // chunks)
    train, test = int(size * train_ratio), int(size * test_ratio)
    for i in range(chunks):
        chunk = images[i * size : (i + 1) * size]
        name = f"_{i}" if chunks > 1 else ""
        if train_ratio == 1.0:
            yield name, chunk
            continue
        if test_ratio:
            yield f"{name}_test", chunk[:test]
        if train_ratio + test_ratio < 1.0:
            yield f"{name}_val", chunk[test + train :]
        yield f"{name}_train", chunk[test : test + train]


def write_list(path: str, images: Iterable[Listed]) -> None:
    write_lines(
        path, ("\t".join([str(i.number), *(f"{label:f}" for label in i.labels), i.path]) + "\n" for i in images)
    )


def write_lines(path: str, lines: Iterable[str]) -> None:
    """Writes a file under another name first, so that there is never half of one."""
    temporary = f"{path}.tmp{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(lines)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def read_list(path: str, report: Callable[[str], None]) -> list[Listed]:
    """The images of a list; lines that are none are reported and left out."""
    images = []
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            parts = [part.strip() for part in line.strip().split("\t")]
            if len(parts) < 3:
                if line.strip():
                    report(
                        f"{path}, line {number}: a number, a label and a path with tabs between them are needed, "
                        f"got {line.strip()!r}"
                    )
                continue
            try:
                images.append(Listed(_number(parts[0]), parts[-1], [float(part) for part in parts[1:-1]]))
            except ValueError as error:
                report(f"{path}, line {number}: {error}")
    return images


def _number(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**64:
        raise ValueError(f"numbers of images are from 0 to 2^64 - 1, got {text}")
    return number


def read_list_part(path: str, label_width: int, part: int, parts: int) -> list[Listed]:
    """The images of one of several parts of a list, each of about as many bytes, with blanks between their columns."""
    with open(path, "rb") as file:
        content = file.read()
    step = -(-len(content) // parts)

    def line_begin(at: int) -> int:
        if at == 0 or at >= len(content):
            return min(at, len(content))
        end = content.find(b"\n", at - 1)
        return len(content) if end < 0 else end + 1

    images = []
    for line in content[line_begin(part * step) : line_begin((part + 1) * step)].splitlines():
        words = line.decode("utf-8", "surrogateescape").split(maxsplit=1 + label_width)
        if not words:
            continue
        try:
            images.append(
                Listed(
                    _number(words[0]), words[1 + label_width].strip(), [float(w) for w in words[1 : 1 + label_width]]
                )
            )
        except (ValueError, IndexError):
            raise FileFormatError(
                f"{path}: a number, {label_width} labels and a path are needed, got {line.decode(errors='replace')!r}"
            ) from None
    return images


def class_names(images: Iterable[Listed]) -> list[str]:
    """Names of classes 0, 1, 2... from the images' folders; none if labels and folders do not go together."""
    names: dict[float, str] = {}
    for image in images:
        folder = os.path.dirname(image.path) or "."
        if len(image.labels) != 1 or names.setdefault(image.labels[0], folder) != folder:
            return []
    complete = sorted(names) == list(range(len(names))) and len(set(names.values())) == len(names) > 1
    return [names[label] for label in range(len(names))] if complete else []
