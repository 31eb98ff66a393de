"""Speed of PyTorch's loader on the work of pictures.rs: two workers, batches of 64, torchvision's transforms on Pillow.

python pictures.py make FOLDER [COUNT]   # COUNT JPEGs of 500 x 375 (quality 90, 4:2:0) from formulas
python pictures.py FOLDER [PASSES]       # speed
Needs: torch torchvision pillow numpy.
"""

import glob
import os
import sys
import time


def make(folder, count):
    import numpy as np
    from PIL import Image

    os.makedirs(folder, exist_ok=True)
    y, x = np.mgrid[0:375, 0:500]
    for i in range(count):
        draw = np.random.default_rng(i)
        picture = np.full((375, 500, 3), 128.0)
        for c in range(3):
            for _ in range(6):
                across, down, phase, height = draw.uniform([0.01, 0.01, 0, 5], [0.15, 0.15, 6.28, 25])
                picture[..., c] += height * np.sin(across * x + down * y + phase)
            for _ in range(12):
                left, top, wide, high = draw.integers([0, 0, 5, 5], [500, 375, 170, 120])
                picture[top:top + high, left:left + wide, c] += draw.uniform(-60, 60)
        picture += draw.normal(0, 4, picture.shape)
        picture = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        picture.save(os.path.join(folder, f"{i}.jpg"), quality=90)


def speed(folder, passes):
    import torch
    from PIL import Image
    from torchvision import transforms

    files = sorted(glob.glob(os.path.join(folder, "*.jpg")))

    class Pictures(torch.utils.data.Dataset):
        change = transforms.Compose([
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ])

        def __len__(self):
            return len(files)

        def __getitem__(self, i):
            with Image.open(files[i]) as picture:
                return self.change(picture.convert("RGB"))

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=64, num_workers=2, persistent_workers=True)
    for k in range(passes):
        start, total = time.time(), 0.0
        for batch in loader:
            total += float(batch[:, 0, 0, 0].sum())
        print(f"pass {k}: {len(files) / (time.time() - start):.1f} pictures/s, mean {total / len(files):.4f}")


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 600)
else:
    speed(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5)
