"""Updates XMP for the new file: removes references to dropped data, and turns regions with the photo."""

import re

from pipelines.photos.pixels import turned_point
from pipelines.photos.unread import DEPTH_MAP, FILM, GAIN_MAP

_GONE = (
    ("http://ns.google.com/photos/1.0/camera/", rb"(?:MotionPhoto|MicroVideo)\w*", FILM),
    ("http://ns.oplus.com/photos/1.0/camera/", rb"(?:MotionPhoto|Video)\w*", FILM),
    ("http://ns.adobe.com/hdr-gain-map/1.0/", rb"\w+", GAIN_MAP),
    ("http://ns.google.com/photos/1.0/depthmap/", rb"\w+", DEPTH_MAP),
    ("http://ns.adobe.com/xmp/note/", rb"HasExtendedXMP", "extended XMP dropped"),
    ("http://ns.google.com/photos/1.0/container/", rb"Directory", ""),
)
"""Namespaces and names of properties about data that the new file does not hold, and the note for each."""

_PLACES = (
    ("http://ns.microsoft.com/photo/1.2/", rb"RegionInfo", "face regions"),
    ("http://ns.acdsee.com/regions/", rb"Regions", "face regions"),
    ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", rb"ImageRegion", "image regions"),
    ("http://ns.adobe.com/camera-raw-settings/1.0/", rb"Crop\w+|HasCrop", "crop"),
    ("http://ns.google.com/photos/1.0/panorama/", rb"\w+", "panorama data"),
)
"""Namespaces and names of properties that describe places in the picture, which this module cannot turn."""

LONGEST = 16_000_000
"""Bytes of the longest packet that is kept."""

_REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
_AREAS = "http://ns.adobe.com/xmp/sType/Area#"


def updated(xmp: bytes, orientation: int) -> tuple[bytes, list[str]]:
    """XMP for a file with upright pixels and no other data.

    The text is edited, not parsed and written anew, because readers differ in what they accept.

    Args:
        xmp: The packet, which may be damaged.
        orientation: EXIF orientation of the stored pixels, 1 to 8; 0 if they were turned in an unknown way.

    Returns:
        The packet, and a short sentence for each property that was removed.
    """
    if len(xmp) > LONGEST:
        return b"", ["XMP too long and dropped"]
    notes = []
    for namespace, names, note in _GONE:
        xmp, count = _without(xmp, namespace, names)
        if count and note:
            notes.append(note)
    xmp = re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", xmp)
    if orientation != 1 and _prefix(xmp, _REGIONS):
        turned = _turned_regions(xmp, orientation) if orientation else None
        if turned is None:
            turned, count = _without(xmp, _REGIONS, rb"Regions")
            notes += ["face regions dropped: they were not turned with the photo"] if count else []
        xmp = turned
    if orientation != 1:
        for namespace, names, thing in _PLACES:
            xmp, count = _without(xmp, namespace, names)
            if count:
                notes.append(
                    f"{thing} dropped: {'it was' if thing == 'crop' else 'they were'} not turned with the photo"
                )
    return xmp, list(dict.fromkeys(notes))


def _prefix(xmp: bytes, namespace: str) -> bytes:
    """The prefix that a packet uses for a namespace; empty if it uses none."""
    found = re.search(rb"xmlns:([\w.-]+)\s*=\s*[\"']" + re.escape(namespace.encode()) + rb"[\"']", xmp)
    return found[1] if found else b""


def _without(xmp: bytes, namespace: str, names: bytes) -> tuple[bytes, int]:
    """A packet without some properties of a namespace, and the number of removed properties."""
    prefix = re.escape(_prefix(xmp, namespace))
    if not prefix:
        return xmp, 0
    xmp, attributes = re.subn(rb"\s" + prefix + rb":(?:" + names + rb")\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", xmp)
    kept, position, elements = [], 0, 0
    unclosed: set[bytes] = set()
    for match in re.finditer(rb"<(" + prefix + rb":(?:" + names + rb"))(?=[\s/>])[^<>]*>", xmp):
        if match.start() < position or match[1] in unclosed:
            continue
        end = match.end()
        if not match[0].endswith(b"/>"):
            close = xmp.find(b"</" + match[1], end)
            if close < 0:
                unclosed.add(match[1])
                continue
            end = xmp.find(b">", close) + 1 or len(xmp)
        kept.append(xmp[position : match.start()])
        position, elements = end, elements + 1
    return b"".join([*kept, xmp[position:]]), attributes + elements


def _turned_regions(xmp: bytes, orientation: int) -> bytes | None:
    """A packet with regions turned like the photo; None if they are written in an unknown form."""
    area = re.escape(_prefix(xmp, _AREAS))
    if not area:
        return None
    found = 0

    def turned(match: re.Match[bytes]) -> bytes:
        nonlocal found
        element = match[0]
        values = dict(re.findall(rb"\b" + area + rb":([xywh])\s*=\s*[\"']([-+\d.eE]+)[\"']", element))
        if len(values) != 4:
            return element
        found += 1
        x, y = turned_point(float(values[b"x"]), float(values[b"y"]), orientation)
        w, h = float(values[b"w"]), float(values[b"h"])
        w, h = (h, w) if orientation >= 5 else (w, h)
        for name, value in zip((b"x", b"y", b"w", b"h"), (x, y, w, h), strict=True):
            pattern = rb"(\b" + area + rb":" + name + rb"\s*=\s*[\"'])[-+\d.eE]+"
            element = re.sub(pattern, rb"\g<1>" + f"{value:.6f}".rstrip("0").rstrip(".").encode(), element)
        return element

    try:
        result = re.sub(rb"<[\w.-]+:(?:Area|Description)\b[^<>]*>", turned, xmp)
    except ValueError:  # the text is not a number
        return None
    dimensions = rb"<[\w.-]+:AppliedToDimensions\b[^<>]*>"
    if orientation >= 5:
        result = re.sub(dimensions, _swapped, result)
    return result if found and found == len(re.findall(rb"<[\w.-]+:Area\b", xmp)) else None


def _swapped(match: re.Match[bytes]) -> bytes:
    """An element with the attributes for width and height exchanged."""
    return re.sub(rb":([wh])(\s*=)", lambda name: b":" + (b"h" if name[1] == b"w" else b"w") + name[2], match[0])
