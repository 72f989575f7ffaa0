"""Read simple DICOM files directly: pydicom takes several times as long.

For anything unusual these functions return None, and pydicom is used instead.
"""

from collections.abc import Callable, Collection
from functools import cache, lru_cache
from struct import Struct
from typing import Any

from pydicom import Dataset
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

META_START = 132  # after the preamble and "DICM"
DATASET_TAG = 0x00030000  # the first after the file's meta information
PIXEL_TAG = 0x7FE00000  # the first that may be pixels
TRANSFER_SYNTAX = int(Tag("TransferSyntaxUID"))
EXPLICIT_LITTLE_ENDIAN = ExplicitVRLittleEndian.encode()
PIXEL_DATA = Tag("PixelData")
CHARACTER_SET = int(Tag("SpecificCharacterSet"))  # a plain number: tags compare slowly
CHARACTER_SETS = frozenset((b"CS", name.encode()) for name in python_encoding if name)
HEAD, LENGTH = Struct("<HH2sH"), Struct("<L")
LAST_HEAD = HEAD.size + LENGTH.size
SHORT = frozenset(name.encode() for name in EXPLICIT_VR_LENGTH_16)
LONG = frozenset(name.encode() for name in EXPLICIT_VR_LENGTH_32)
representation2name = {name: name.decode() for name in SHORT | LONG}
base_tag = lru_cache(maxsize=1024)(BaseTag)
DELIMITERS = 0xFFFE
UNDEFINED = 0xFFFFFFFF
PIXEL_GROUP, PIXEL_NUMBER = PIXEL_DATA.group, PIXEL_DATA.elem
syntax2pixel_head = {ImplicitVRLittleEndian: Struct("<HHL"), ExplicitVRLittleEndian: Struct("<HH2s2xL")}

Content = bytes | memoryview
Elements = dict[Any, Any]
"""Raw elements by tag, which can be looked up by number."""


def plain_dataset(content: Content, wanted: Collection[int]) -> tuple[Dataset, int] | None:
    """Read the wanted elements of an explicit little-endian file, and where its pixels begin."""
    if content[META_START - 4 : META_START] != b"DICM":
        return None
    meta = _scanned(content, META_START, DATASET_TAG, {TRANSFER_SYNTAX})
    if meta is None or TRANSFER_SYNTAX not in meta[0]:
        return None
    elements, start = meta
    if elements[TRANSFER_SYNTAX].value.rstrip(b"\0 ") != EXPLICIT_LITTLE_ENDIAN:
        return None
    found = _scanned(content, start, PIXEL_TAG, wanted)
    return None if found is None else (Dataset(found[0]), found[1])


def _scanned(
    content: Content, start: int, stop_tag: int, wanted: Collection[int]
) -> tuple[Elements, int] | None:
    """Read the wanted elements from `start` up to the first tag of at least `stop_tag`, and where that is."""
    elements: Elements = {}
    unpack, head_bytes, last = HEAD.unpack_from, HEAD.size, len(content) - LAST_HEAD
    while start <= last:
        group, number, representation, length = unpack(content, start)
        tag, first = group << 16 | number, start + head_bytes
        if representation not in SHORT:
            if representation not in LONG:
                return None
            (length,) = LENGTH.unpack_from(content, first)
            first += LENGTH.size
        if tag >= stop_tag:
            return None if group == DELIMITERS else (elements, start)
        if length == UNDEFINED:
            return None
        start = first + length
        if (
            tag == CHARACTER_SET
            and (representation, bytes(content[first:start]).rstrip(b" ")) not in CHARACTER_SETS
        ):
            return None  # pydicom may refuse the whole header for it
        if tag in wanted and length:  # empty elements count as absent
            if representation == b"SQ":
                return None
            key, name = base_tag(tag), representation2name[representation]
            value = bytes(content[first:start])
            elements[key] = RawDataElement(key, name, length, value, first, False, True)
    return None


def plain_pixels(content: Content, start: int, syntax: UID) -> memoryview | None:
    """A view of PixelData at `start`, if little-endian pixels of known length end the file."""
    head = syntax2pixel_head.get(syntax)
    if head is None or start + head.size > len(content):
        return None
    group, number, *representation, length = head.unpack_from(content, start)
    is_plain = (group, number) == (PIXEL_GROUP, PIXEL_NUMBER) and representation in ([], [b"OW"], [b"OB"])
    first = start + head.size
    return memoryview(content)[first:] if is_plain and first + length == len(content) else None


def value_of(dataset: Dataset, keyword: str) -> Any:
    """`dataset.get(keyword)`, decoded here if it is simple."""
    tag, representation = tag_of(keyword)
    element = dataset.get_item(tag, keep_deferred=True)
    if element is None:
        return None
    if isinstance(element, RawDataElement) and element.value and element.VR in (None, representation):
        try:
            return representation2decode[representation](element.value, element.is_little_endian)
        except (KeyError, ValueError):
            pass
    return dataset.get(keyword)


def text_of(dataset: Dataset, keyword: str) -> str:
    """A value as stored in the file, for comparison; "" if it is absent, empty or a sequence."""
    element = dataset.get_item(tag_of(keyword)[0], keep_deferred=True)
    if not isinstance(element, RawDataElement) or not element.value:
        return ""
    return element.value.rstrip(b"\0 ").decode("latin-1")


@cache
def tag_of(keyword: str) -> tuple[BaseTag, str]:
    """The tag and value representation of a keyword."""
    return Tag(keyword), dictionary_VR(keyword)


def _number_of(value: bytes, is_little_endian: bool) -> int:
    if len(value) != 2:
        raise ValueError("several numbers")
    return int.from_bytes(value, "little" if is_little_endian else "big")


def _word_of(value: bytes, _: bool) -> str:
    word = value.rstrip(b" ")
    if not word.isalnum():
        raise ValueError("more than a word")
    return word.decode("ascii")


representation2decode: dict[str, Callable[[bytes, bool], Any]] = {
    "US": _number_of,
    "IS": lambda value, _: int(value),
    "DS": lambda value, _: [float(part) for part in value.split(b"\\")],
    "CS": _word_of,
    "UI": lambda value, _: value.rstrip(b"\0 ").decode("ascii"),
}
