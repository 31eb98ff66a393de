"""Time of torchaudio's filter bank for what `fbank.rs` times: `python fbank.py 1`, then `python fbank.py 2`.

Needs torch and torchaudio (2.11.0 when this was written). The number is that of threads.
"""

import sys
import time

import torch
from torchaudio.compliance.kaldi import fbank

torch.set_num_threads(int(sys.argv[1]))
clip = torch.rand(1, 160_000) - 0.5


def once():
    fbank(
        clip, htk_compat=True, sample_frequency=16_000, use_energy=False, window_type="hanning", num_mel_bins=128,
        dither=0.0, frame_shift=10,
    )


def measure(clips=20):
    start = time.perf_counter()
    for _ in range(clips):
        once()
    return (time.perf_counter() - start) * 1e3 / clips


measure(5)
times = sorted(measure() for _ in range(15))
print(f"{sys.argv[1]} threads: {times[7]:.3f} ms a clip in the median, {times[0]:.3f} at best")
