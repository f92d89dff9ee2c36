"""Reading images into rows of PNG or JPEG bytes: a folder or .zip with one folder per class, MNIST's and CIFAR's own formats."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError
from tasks.sources.bundled import check_values
from tasks.sources.files import LocalFile, visible_files
from tasks.sources.read_tables import Raw, read_csv

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
METADATA = "metadata.csv"
FILE_COLUMN = "file_name"
PARTS = {"train", "test"}
IMAGE = "image"
CIFAR_PIXELS = 3 * 32 * 32
Images = NDArray[np.uint8]


def read_folder(path: Path, *, name: str, target: str) -> Raw:
    """Rows `image` and `target` from a folder (or .zip) with one folder per class, in the order of the file names.

    Folders `train` and `test` around the class folders become the published parts. A file metadata.csv beside the
    class folders may describe the images: its column file_name holds their paths, the others become columns.
    Raises InputError where there is no class folder, a class without images, an image that cannot be read, or images
    of different sizes.
    """
    with _Folder(path, name) as folder:
        names = [n for n in folder.names if PurePosixPath(n).suffix.lower() in SUFFIXES]
        parted = {PurePosixPath(n).parts[0] for n in names if len(PurePosixPath(n).parts) > 2} == PARTS
        depth = 2 if parted else 1
        loose = [n for n in names if len(PurePosixPath(n).parts) <= depth]
        if not names or loose:
            what = f"the image {loose[0]} is in no class folder" if loose else "it holds no images in class folders"
            raise InputError(f"{name}: {what}. Put the images of each class into a folder with the name of the class.")
        empty = folder.folders - {PurePosixPath(n).parts[depth - 1] for n in names} - (PARTS if parted else set())
        if empty:
            raise InputError(f"{name}: the class folder '{min(empty)}' holds no images. Fill it or remove it.")
        images = [folder.image(n) for n in names]
        frame = pd.DataFrame({IMAGE: pd.Series([data for data, _ in images], dtype=object)})
        frame[target] = pd.Series([PurePosixPath(n).parts[depth - 1] for n in names], dtype="str")
        _require_one_size(names, [size for _, size in images], name)
        parts = pd.Series([PurePosixPath(n).parts[0] for n in names], dtype="str") if parted else None
        others = [n for n in folder.names if n not in set(names) and n != METADATA]
        notes = (
            [
                f"Left out because they are not images: {len(others)} of {len(folder.names)} files, the first {others[0]}."
            ]
            if others
            else []
        )
        if METADATA in folder.names:
            frame = _with_metadata(frame, names, folder.table(METADATA), f"{name}/{METADATA}", target)
    return Raw(frame, parts=parts, kinds={IMAGE: "image"}, notes=tuple(notes))


class _Folder:
    """The files of a folder or a .zip, by name."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.zip: zipfile.ZipFile | None = None
        self.prefix = ""
        if path.is_dir():
            self.names = visible_files(path)
            self.folders = {p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")}
            return
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{name} is not a whole .zip file ({error}). Copy or download it again.") from None
        members = [n for n in self.zip.namelist() if not n.startswith("__MACOSX/") and "/." not in f"/{n}"]
        files = [n for n in members if not n.endswith("/")]
        roots = {PurePosixPath(n).parts[0] for n in files}
        if len(roots) == 1 and not any(PurePosixPath(n).parent == PurePosixPath() for n in files):
            self.prefix = f"{roots.pop()}/"
        self.names = sorted(n.removeprefix(self.prefix) for n in files)
        below = (PurePosixPath(n.removeprefix(self.prefix)).parts for n in members)
        self.folders = {
            parts[0] for parts, n in zip(below, members, strict=True) if parts and (len(parts) > 1 or n.endswith("/"))
        }

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *_: object) -> None:
        if self.zip is not None:
            self.zip.close()

    def content(self, name: str) -> bytes:
        if self.zip is None:
            return (self.path / name).read_bytes()
        try:
            return self.zip.read(self.prefix + name)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
            raise InputError(f"{self.name}: {name} cannot be unpacked ({error}). Make the .zip again.") from None

    def image(self, name: str) -> tuple[bytes, tuple[int, int]]:
        """Bytes as PNG or JPEG (others are converted to PNG), and width and height."""
        from PIL import Image, UnidentifiedImageError

        data = self.content(name)
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                if image.format not in ("PNG", "JPEG"):
                    converted = io.BytesIO()
                    image.convert("L" if image.mode in ("1", "L") else "RGB").save(converted, format="PNG")
                    data = converted.getvalue()
                return data, image.size
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(
                f"{self.name}/{name}: not a readable image ({error}). Replace or remove the file."
            ) from None

    def table(self, name: str) -> pd.DataFrame:
        """A CSV of the folder."""
        if self.zip is None:
            return read_csv(self.path / name, name=f"{self.name}/{name}")
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / name
            unpacked.write_bytes(self.content(name))
            return read_csv(unpacked, name=f"{self.name}/{name}")


def _require_one_size(names: list[str], sizes: list[tuple[int, int]], folder: str) -> None:
    counts = pd.Series(sizes).value_counts()
    if len(counts) > 1:
        usual: Any = counts.index[0]
        other = next(i for i, size in enumerate(sizes) if size != usual)
        raise InputError(
            f"{folder}/{names[other]}: {sizes[other][0]} x {sizes[other][1]} pixels, but {counts.iloc[0]} of {len(sizes)} images "
            f"have {usual[0]} x {usual[1]}. Bring all images to one size."
        )


def _with_metadata(
    frame: pd.DataFrame, names: list[str], metadata: pd.DataFrame, where: str, target: str
) -> pd.DataFrame:
    if FILE_COLUMN not in metadata:
        raise InputError(
            f"{where}: there is no column '{FILE_COLUMN}'. It must hold the images' paths, as in {names[0]}."
        )
    repeated = metadata[FILE_COLUMN][metadata[FILE_COLUMN].duplicated()]
    if len(repeated):
        raise InputError(f"{where}: '{repeated.iloc[0]}' is listed more than once. Keep one line per image.")
    unknown = metadata[FILE_COLUMN][~metadata[FILE_COLUMN].isin(names)]
    if len(unknown):
        raise InputError(
            f"{where}: '{unknown.iloc[0]}' is no image of the folder. Correct the path or remove the line."
        )
    taken = [c for c in metadata.columns if c in (IMAGE, target)]
    if taken:
        raise InputError(f"{where}: the column name '{taken[0]}' is taken. Rename it.")
    described = metadata.set_index(FILE_COLUMN).reindex(names).reset_index(drop=True)
    return pd.concat([frame, described], axis=1)


def tail_counts(largest: int, ratio: float, classes: int) -> NDArray[np.int64]:
    """Rows [C] that classes 0 … C-1 keep: floor(largest * ratio^(-c/(C-1))), the exponential tail of Cao et al. 2019."""
    exponents = -np.arange(classes) / (classes - 1)
    # A whole number must not fall below itself through rounding.
    return np.floor(largest * np.power(float(ratio), exponents) + 1e-9).astype(np.int64)


def rank_in_class(labels: NDArray[Any]) -> NDArray[np.int64]:
    """How many rows of the same class come before each row [n]."""
    return np.asarray(pd.Series(labels).groupby(labels).cumcount(), dtype=np.int64)


def read_digits(values_sha256: str | None) -> Raw:
    """scikit-learn's 8 x 8 digits as PNG images; their 17 shades spread over 0 … 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    identity = check_values("digits", bunch.data, bunch.target, values_sha256)
    shades = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return Raw(_frame(shades, bunch.target), identity=(identity,))


def read_mnist(files: tuple[LocalFile, ...], kept: NDArray[np.int64]) -> Raw:
    """MNIST's gzipped IDX files; of each class the first `kept` training rows [C]."""
    by_part: dict[str, dict[int, NDArray[np.uint8]]] = {"train": {}, "test": {}}
    for file in files:
        array = _idx(file)
        by_part[str(file.part)][array.ndim] = array
    return _parted({part: (arrays[3], arrays[1].astype(np.int64)) for part, arrays in by_part.items()}, kept)


def _idx(file: LocalFile) -> NDArray[np.uint8]:
    try:
        data = gzip.decompress(file.path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file.name}: not a whole gzip file ({error}). Delete {file.path} and run again.") from None
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_cifar(files: tuple[LocalFile, ...], kept: NDArray[np.int64]) -> Raw:
    """CIFAR-10's binary archive (a label byte and 3 x 32 x 32 pixel bytes per row); of each class the first `kept` [C]."""
    records: dict[str, list[NDArray[np.uint8]]] = {"train": [], "test": []}
    with tarfile.open(files[0].path, "r:gz") as archive:
        members = {PurePosixPath(m.name).name: m for m in archive.getmembers() if m.isfile()}
        for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            content = archive.extractfile(members[name])
            assert content is not None
            rows = np.frombuffer(content.read(), dtype=np.uint8).reshape(-1, 1 + CIFAR_PIXELS)
            records["test" if name.startswith("test") else "train"].append(rows)
    arrays = {part: np.concatenate(batches) for part, batches in records.items()}
    pixels = {part: rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for part, rows in arrays.items()}
    return _parted({part: (pixels[part], rows[:, 0].astype(np.int64)) for part, rows in arrays.items()}, kept)


def _parted(arrays: Mapping[str, tuple[Images, NDArray[np.int64]]], kept: NDArray[np.int64]) -> Raw:
    """One table of both parts; the rows beyond the tail are left out before they are encoded."""
    frames: list[pd.DataFrame] = []
    parts: list[str] = []
    for part, (images, labels) in arrays.items():
        ranks = rank_in_class(labels)
        rows = np.flatnonzero(ranks < kept[labels]) if part == "train" else np.arange(len(labels))
        frames.append(_frame(images[rows], labels[rows]).assign(rank_in_class=ranks[rows]))
        parts += [part] * len(rows)
    return Raw(pd.concat(frames, ignore_index=True), parts=pd.Series(parts, dtype="str"))


def _frame(images: Images, labels: NDArray[Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {IMAGE: pd.Series(list(_encoded(images)), dtype=object), "label": np.asarray(labels, dtype=np.int64)}
    )


def _encoded(images: Images) -> Iterator[bytes]:
    from PIL import Image

    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG")
        yield buffer.getvalue()
