"""Golden values of the audio front ends, made by the libraries that published recipes used.

    python -m venv venv
    venv/bin/pip install numpy==2.4.6 scipy==1.17.1 librosa==0.11.0 torch==2.11.0 torchaudio==2.11.0
    venv/bin/python crates/aim-media/tests/golden/make.py

Writes one JSON file a case beside itself. A case holds the settings, the shape, the sum, the sum of magnitudes, every
`stride`-th number in row-major order, one row and one column. The waveform is a formula in whole numbers (`wave`),
which `tests/front.rs` follows, so that no recording lies here. All is computed in f64; `f32_deviation` is how far the
same library lies from that in f32, which is what recipes run.
"""

import json
from pathlib import Path

import librosa
import numpy as np
import scipy
import scipy.signal
import torch
import torchaudio
from torchaudio.compliance import kaldi

HERE = Path(__file__).parent
MASK = 0xFFFFFFFF


def signed(word):
    """The upper half of a 32-bit word as a signed number of 16 bits."""
    half = word >> 16
    return half - 0x10000 if half & 0x8000 else half


def wave(samples):
    """Rising tone and noise, by turns together, alone, silent, and both faint; with a constant part."""
    noise, phase, step = 2026, 0, 1 << 25
    values = []
    for i in range(samples):
        noise = (noise * 1664525 + 1013904223) & MASK
        phase = (phase + step) & MASK
        step += 4000
        x = signed(phase)
        tone = (x * (32768 - abs(x))) >> 13
        hiss = signed(noise)
        turn = i // 6000 % 4
        values.append((300 + (tone >> 2) + (hiss >> 4), 300 + (tone >> 2), 0, 30 + (tone >> 9) + (hiss >> 10))[turn])
    return np.array(values, dtype=np.float64) / 32768


def short(values):
    """Numbers with eight digits."""
    return [float(f"{v:.8g}") for v in np.asarray(values, dtype=np.float64)]


def write(name, library, settings, compute):
    """Writes a case whose numbers `compute` gives for a floating-point type."""
    picture = np.asarray(compute(np.float64), dtype=np.float64)
    rows, columns = picture.shape
    stride = picture.size // 400 * 2 + 1 if picture.size < 200_000 else 701
    row, column = rows // 9, columns * 5 // 8
    case = {
        "library": library,
        "settings": settings,
        "shape": [rows, columns],
        "sum": float(picture.sum()),
        "magnitudes": float(np.abs(picture).sum()),
        "f32_deviation": float(f"{np.abs(np.asarray(compute(np.float32), dtype=np.float64) - picture).max():.3g}"),
        "stride": stride,
        "values": short(picture.ravel()[::stride]),
        "row": [row, short(picture[row])],
        "column": [column, short(picture[:, column])],
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in case.items())
    (HERE / f"{name}.json").write_text("{\n" + lines + "\n}\n")
    print(name, picture.shape, case["f32_deviation"])


def stft(name, samples, n_fft, hop, pad):
    """Logarithm of librosa's magnitudes."""
    settings = {"samples": samples, "n_fft": n_fft, "hop": hop, "pad": pad}

    def compute(kind):
        spectrum = librosa.stft(wave(samples).astype(kind), n_fft=n_fft, hop_length=hop, pad_mode=pad)
        return np.log(np.abs(spectrum) + 1e-7)

    write(name, f"librosa {librosa.__version__}", settings, compute)


def density(name, samples, rate, standardised):
    """Logarithm of SciPy's power density, as it is or with mean 0 and deviation 1."""
    settings = {"samples": samples, "rate": rate, "length": 512, "overlap": 353, "standardised": standardised}

    def compute(kind):
        _, _, power = scipy.signal.spectrogram(wave(samples).astype(kind), rate, nperseg=512, noverlap=353)
        log = np.log(power + 1e-7)
        return (log - np.mean(log)) / (np.std(log) + 1e-9) if standardised else log

    write(name, f"scipy {scipy.__version__}", settings, compute)


def fbank(name, samples, rate, bins, frames=None, normalised=False):
    """torchaudio's filter bank, whole, or cut or padded to a number of frames, and then scaled where asked for."""
    settings = {"samples": samples, "rate": rate, "bins": bins, "frames": frames, "normalised": normalised}

    def compute(kind):
        # The filters are made in the default type, whatever that of the waveform.
        torch.set_default_dtype(torch.float64 if kind is np.float64 else torch.float32)
        sound = torch.from_numpy(wave(samples).astype(kind))[None]
        picture = kaldi.fbank(
            sound - sound.mean(), htk_compat=True, sample_frequency=rate, use_energy=False, window_type="hanning",
            num_mel_bins=bins, dither=0.0, frame_shift=10,
        )
        if frames is not None:
            missing = frames - len(picture)
            picture = torch.nn.functional.pad(picture, (0, 0, 0, missing)) if missing > 0 else picture[:frames]
        return ((picture + 4.503877) / (2 * 5.141276) if normalised else picture).numpy()

    write(name, f"torchaudio {torchaudio.__version__}", settings, compute)


stft("stft-257x188", 66_150, 512, 353, "constant")
stft("stft-257x188-reflect", 66_150, 512, 353, "reflect")
stft("stft-257x1250", 441_000, 512, 353, "constant")
stft("stft-129x862", 110_250, 256, 128, "constant")
stft("stft-129x626", 80_000, 256, 128, "constant")
density("density-257x1004", 160_000, 22_050, False)
density("density-257x1004-standardised", 160_000, 22_050, True)
fbank("fbank-1024x128-padded", 48_000, 16_000, 128, 1024, True)
fbank("fbank-1024x128-cut", 176_000, 16_000, 128, 1024, True)
fbank("fbank-1024x128-raw", 164_400, 16_000, 128, 1024)
fbank("fbank-22050", 30_000, 22_050, 40)
