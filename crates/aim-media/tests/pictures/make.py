"""Makes the files of this folder: pictures from formulas, and what Pillow and torchvision make of them.

python make.py            # pictures and expected.safetensors; needs numpy and pillow < 13
python make.py crops      # crops.json; needs torch and torchvision
"""

import io
import json
import struct
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).parent


def formula(width, height, np):
    """Smooth waves and hard edges; tests/pictures.rs has the same."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    wave = (x * x + 3 * y * y + 40 * c * x) // 16 % 256
    edge = ((x // 9 + y // 7 + c) % 3) * 80
    return ((wave + edge) // 2 % 256).astype(np.uint8)


def safetensors(path, arrays):
    header, data = {}, b""
    for name, array in sorted(arrays.items()):
        raw = array.tobytes()
        header[name] = {"dtype": "U8", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def png(width, height, bits, kind, rows):
    """A PNG by hand, for kinds that Pillow does not write."""
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def pictures():
    import numpy as np
    from PIL import Image, ImageOps, __version__

    assert int(__version__.split(".")[0]) < 13, "version 13 resizes in another order"
    files, expected = {}, {}

    def jpeg(picture, **options):
        out = io.BytesIO()
        picture.save(out, "JPEG", **options)
        return out.getvalue()

    def patched(data, marker, offset, value):
        data = bytearray(data)
        data[data.index(marker) + offset] = value
        return bytes(data)

    picture = Image.fromarray(formula(45, 37, np))
    square = Image.fromarray(formula(32, 32, np))
    for name, subsampling in [("444", 0), ("422", 1), ("420", 2)]:
        files[f"{name}.jpg"] = jpeg(picture, quality=85, subsampling=subsampling)
        files[f"{name}-progressive.jpg"] = jpeg(picture, quality=85, subsampling=subsampling, progressive=True)
    files["restarts.jpg"] = jpeg(picture, quality=85, subsampling=2, restart_marker_blocks=2)
    files["grey.jpg"] = jpeg(picture.convert("L"), quality=85)
    files["cmyk.jpg"] = jpeg(picture.convert("CMYK"), quality=85)
    # The same planes read as brightness, colour differences and black.
    files["ycck.jpg"] = patched(files["cmyk.jpg"], b"Adobe", 11, 2)
    files["narrow.jpg"] = jpeg(Image.fromarray(formula(3, 20, np)), quality=85, subsampling=2)
    # Samplings that Pillow does not write: as many blocks in another arrangement.
    files["440.jpg"] = patched(jpeg(square, quality=85, subsampling=1), b"\xff\xc0", 11, 0x12)
    files["411.jpg"] = patched(jpeg(square, quality=85, subsampling=2), b"\xff\xc0", 11, 0x41)
    exif = Image.Exif()
    exif[0x0112] = 6
    files["oriented.jpg"] = jpeg(picture, quality=85, subsampling=2, exif=exif)

    small = Image.fromarray(formula(11, 7, np))
    alpha = small.copy()
    alpha.putalpha(small.convert("L"))
    for name, picture_ in [
        ("rgb", small), ("rgba", alpha), ("grey", small.convert("L")), ("grey-alpha", alpha.convert("LA")),
        ("bits", small.convert("1")), ("palette", small.quantize(13)),
    ]:
        out = io.BytesIO()
        picture_.save(out, "PNG", **({"transparency": 3} if name == "palette" else {}))
        files[f"{name}.png"] = out.getvalue()
    wide = formula(11, 7, np).astype(">u2") * 256 + formula(11, 7, np)[::-1]
    files["rgb-16.png"] = png(11, 7, 16, 2, [row.astype(">u2").tobytes() for row in wide])
    grey = wide[..., 0]
    files["grey-16.png"] = png(11, 7, 16, 0, [row.astype(">u2").tobytes() for row in grey])

    for name, data in files.items():
        (HERE / name).write_bytes(data)
        decoded = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        expected[name] = np.array(decoded.convert("RGB"))
    # Pillow clips grey values of 16 bits at 255 on the way to RGB; the upper byte is meant, as it takes for colour.
    expected["grey-16.png"] = np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)
    for orientation in range(1, 9):
        strip = Image.fromarray(formula(5, 3, np))
        strip.getexif()[0x0112] = orientation
        expected[f"orientation-{orientation}"] = np.array(ImageOps.exif_transpose(strip))

    large = Image.fromarray(formula(61, 47, np))
    for width, height, box in RESIZES:
        resized = large.resize((width, height), Image.BILINEAR, box=box)
        expected[f"resize {width} {height} {' '.join(map(str, box))}"] = np.array(resized)
    safetensors(HERE / "expected.safetensors", expected)


RESIZES = [
    (20, 16, (0, 0, 61, 47)), (61, 10, (0, 0, 61, 47)), (10, 47, (0, 0, 61, 47)), (30, 60, (5, 7, 40, 20)),
    (24, 24, (3.25, 1.5, 55.75, 46.5)), (1, 1, (0, 0, 61, 47)), (70, 9, (10, 10, 12, 44)), (33, 2, (60, 0, 61, 47)),
    (7, 50, (0.5, 46.25, 61, 47)),
]


def crops():
    import torch
    from torchvision.transforms import RandomResizedCrop

    torch.manual_seed(1)
    out = []
    for width, height, scale, ratio in [
        (500, 375, (0.08, 1.0), (3 / 4, 4 / 3)), (40, 400, (0.2, 1.0), (3 / 4, 4 / 3)), (30, 20, (0.5, 0.9), (0.5, 2.0)),
    ]:
        draws = [RandomResizedCrop.get_params(torch.empty(3, height, width), scale, ratio) for _ in range(200_000)]
        y, x, h, w = (torch.tensor([float(draw[i]) for draw in draws], dtype=torch.float64) for i in range(4))
        shares = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
        measured = {"area": w * h / (width * height), "ratio": w / h, "x": x / width, "y": y / height}
        quantiles = {name: [round(v, 5) for v in torch.quantile(value, shares).tolist()] for name, value in measured.items()}
        out.append({"width": width, "height": height, "scale": scale, "ratio": ratio, "quantiles": quantiles})
    (HERE / "crops.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    crops() if sys.argv[1:] == ["crops"] else pictures()
