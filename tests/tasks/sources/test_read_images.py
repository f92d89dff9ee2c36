"""Images: a folder or .zip per class, MNIST's and CIFAR's own files; what cannot be read is named."""

import gzip
import io
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.errors import InputError
from tasks.sources.files import LocalFile
from tasks.sources.read_images import read_cifar, read_folder, read_mnist, tail_counts
from tasks.sources.read_tables import Raw

PARTED = ["train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png"]


def picture(path: Path, shade: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, shade if mode == "L" else (shade, 0, 0)).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    for i, name in enumerate(["cat/1.png", "cat/2.JPG", "cat/more/3.png", "dog/1.bmp", "dog/2.gif"]):
        picture(folder / name, 40 * i)
    (folder / ".hidden").mkdir()
    (folder / ".hidden/x.png").touch()
    return folder


def read(path: Path) -> Raw:
    return read_folder(path, name=path.name, target="class")


def test_one_row_per_image_with_its_folder_as_class(pets: Path) -> None:
    raw = read(pets)
    assert raw.frame["class"].tolist() == ["cat", "cat", "cat", "dog", "dog"]
    assert raw.frame["image"].iloc[0] == (pets / "cat/1.png").read_bytes()
    assert raw.frame["image"].iloc[1] == (pets / "cat/2.JPG").read_bytes()
    assert raw.parts is None


def test_other_formats_become_png(pets: Path) -> None:
    for data in read(pets).frame["image"].iloc[3:]:
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == ("PNG", (8, 8))


def test_a_zip_reads_like_its_folder(pets: Path, tmp_path: Path) -> None:
    for root in ({"root_dir": pets}, {"root_dir": tmp_path, "base_dir": "pets"}):
        archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", **root))
        pd.testing.assert_frame_equal(read(archive).frame, read(pets).frame)


def test_train_and_test_folders_become_published_parts(tmp_path: Path) -> None:
    for i, name in enumerate(PARTED):
        picture(tmp_path / "set" / name, i)
    raw = read(tmp_path / "set")
    assert raw.parts is not None
    assert sorted(zip(raw.parts, raw.frame["class"], strict=True)) == sorted(
        (n.split("/")[0], n.split("/")[1]) for n in PARTED
    )


def test_metadata_beside_the_folders_describes_the_images(pets: Path) -> None:
    (pets / "metadata.csv").write_text("file_name,owner\ncat/1.png,Ada\ndog/2.gif,Ben\n")
    assert read(pets).frame["owner"].fillna("-").tolist() == ["Ada", "-", "-", "-", "Ben"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,owner\ncat/1.png,Ada\n", "no column 'file_name'"),
        ("file_name,owner\ncat/9.png,Ada\n", "'cat/9.png' is no image of the folder"),
        ("file_name,owner\ncat/1.png,Ada\ncat/1.png,Ben\n", "'cat/1.png' is listed more than once"),
        ("file_name,class\ncat/1.png,Ada\n", "the column name 'class' is taken"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(pets: Path, content: str, message: str) -> None:
    (pets / "metadata.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read(pets)


def test_files_that_are_no_images_are_left_out_and_said_so(pets: Path) -> None:
    (pets / "cat/notes.txt").write_text("nice")
    assert "not images: 1 of 6 files, the first cat/notes.txt" in read(pets).notes[0]


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "flat/1.png", 1)
    with pytest.raises(InputError, match=r"1\.png is in no class folder.*folder with the name of the class"):
        read(tmp_path / "flat")
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        read(tmp_path / "bare")


def test_a_class_without_images_is_refused(pets: Path) -> None:
    (pets / "bird").mkdir()
    with pytest.raises(InputError, match="class folder 'bird' holds no images"):
        read(pets)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", "half"])
def test_an_unreadable_image_is_named(pets: Path, content: bytes | str) -> None:
    path = pets / "cat/1.png"
    path.write_bytes(path.read_bytes()[:-30] if isinstance(content, str) else content)
    with pytest.raises(InputError, match=r"pets/cat/1\.png: not a readable image.*Replace or remove"):
        read(pets)


def test_images_of_different_sizes_are_refused(pets: Path) -> None:
    picture(pets / "dog/3.png", 1, (9, 8))
    with pytest.raises(InputError, match=r"dog/3\.png: 9 x 8 pixels, but 5 of 6 images have 8 x 8"):
        read(pets)


def test_a_broken_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match=r"pets\.zip is not a whole \.zip"):
        read(tmp_path / "pets.zip")


@pytest.mark.parametrize(("ratio", "expected"), [(1, [100, 100, 100]), (10, [100, 31, 10]), (100, [100, 10, 1])])
def test_the_tail_is_exponential(ratio: float, expected: list[int]) -> None:
    assert tail_counts(100, ratio, 3).tolist() == expected


def idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def test_mnists_own_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {p: (rng.integers(0, 256, (n, 28, 28)), np.arange(n) % 3) for p, n in (("train", 30), ("test", 6))}
    files = []
    for part, (images, labels) in arrays.items():
        for kind, array in (("images", images), ("labels", labels)):
            path = tmp_path / f"{part}-{kind}.gz"
            idx(path, array)
            files.append(LocalFile(path, path.name, "", part))
    raw = read_mnist(tuple(files), np.array([10, 4, 1]))
    assert raw.parts is not None
    assert raw.frame["label"][raw.parts == "train"].value_counts().to_dict() == {0: 10, 1: 4, 2: 1}
    assert raw.frame["label"][raw.parts == "test"].tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(pixels(raw.frame["image"].iloc[3]), arrays["train"][0][3])


def test_cifars_own_archive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "cifar-10-binary.tar.gz"
    batches = {
        n: rng.integers(0, 256, (10, 1 + 3072), dtype=np.uint8)
        for n in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, rows in batches.items():
            rows[:, 0] = np.arange(10)
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = rows.nbytes
            archive.addfile(member, io.BytesIO(rows.tobytes()))
    raw = read_cifar((LocalFile(path, path.name, ""),), np.array([5, 4, 3, 2, *[1] * 6]))
    assert raw.parts is not None
    assert raw.frame["label"][raw.parts == "train"].value_counts().sort_index().tolist() == [5, 4, 3, 2, *[1] * 6]
    assert (raw.parts == "test").sum() == 10
    first = batches["data_batch_1"][0, 1:].reshape(3, 32, 32)
    np.testing.assert_array_equal(pixels(raw.frame["image"].iloc[0]), first.transpose(1, 2, 0))
