"""Makes what encoders are compared with: `python3 make.py`, with torch, torchvision, timm and transformers.

`names/` has the names and shapes of public models as their libraries make them, a tensor a line. Each `*.safetensors`
is a small network of such a library in float64: its weights (`w.`, values that f32 holds), an input `x` (with `valid`
where some positions are padding), a `probe`, and in evaluation and training mode the feature and the gradients of
sum(feature * probe).
"""

from pathlib import Path

import timm
import torch
import transformers
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models import resnet, resnet18, resnet34, resnet50

HERE = Path(__file__).parent


def write(path, tensors):
    """Floats as f32."""
    save_file({name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}, path)


def floats(model):
    return {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


# Names of public models.


def bert(kind, **sizes):
    config, model = {
        "bert": (transformers.BertConfig, transformers.BertModel),
        "roberta": (transformers.RobertaConfig, transformers.RobertaModel),
        "distilbert": (transformers.DistilBertConfig, transformers.DistilBertModel),
    }[kind]
    extra = {} if kind == "distilbert" else {"add_pooling_layer": False}
    return model(config(**sizes), **extra)


def sized(width, layers, heads, **more):
    wide = {"intermediate_size": 4 * width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return bert("bert", hidden_size=width, **wide, **more)


def roberta_base():
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    return bert(
        "roberta", vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, **special
    )


def vit(width, heads):
    sizes = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 4 * width}
    return transformers.ViTModel(transformers.ViTConfig(**sizes), add_pooling_layer=False)


MODELS = {
    "resnet18.torchvision": resnet18,
    "resnet34.torchvision": resnet34,
    "resnet50.torchvision": resnet50,
    "vit-tiny.timm": lambda: timm.create_model("vit_tiny_patch16_224"),
    "vit-small.timm": lambda: timm.create_model("vit_small_patch16_224"),
    "vit-base.timm": lambda: timm.create_model("vit_base_patch16_224"),
    "vit-tiny.transformers": lambda: vit(192, 3),
    "vit-small.transformers": lambda: vit(384, 6),
    "vit-base.transformers": lambda: vit(768, 12),
    "bert-tiny.transformers": lambda: sized(128, 2, 2),
    "bert-mini.transformers": lambda: sized(256, 4, 4),
    "bert-base.transformers": lambda: sized(768, 12, 12),
    "minilm-l6.transformers": lambda: sized(384, 6, 12),
    "distilbert-base.transformers": lambda: bert("distilbert"),
    "roberta-base.transformers": roberta_base,
}


def names():
    (HERE / "names").mkdir(exist_ok=True)
    for name, make in MODELS.items():
        with torch.device("meta"):
            model = make()
        line = lambda item: " ".join([item[0], *map(str, item[1].shape)])
        (HERE / "names" / f"{name}.txt").write_text("\n".join(map(line, floats(model).items())) + "\n")


# Small networks with their features and gradients.


class SmallResNet(resnet.ResNet):
    """torchvision's, narrower."""

    def __init__(self, block, layers, base, channels):
        nn.Module.__init__(self)
        self._norm_layer, self.inplanes, self.dilation = nn.BatchNorm2d, base, 1
        self.groups, self.base_width = 1, 64
        self.conv1 = nn.Conv2d(channels, base, 7, 2, 3, bias=False)
        self.bn1, self.relu, self.maxpool = nn.BatchNorm2d(base), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        for i, count in enumerate(layers):
            setattr(self, f"layer{i + 1}", self._make_layer(block, base << i, count, stride=1 if i == 0 else 2))
        for i in range(len(layers), 4):
            setattr(self, f"layer{i + 1}", nn.Identity())
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Identity()


def small_vit(**more):
    sizes = {"hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 48, "num_hidden_layers": 2}
    config = transformers.ViTConfig(patch_size=2, num_channels=3, image_size=(6, 4), **sizes, **more)
    return transformers.ViTModel(config, add_pooling_layer=False)


def small_timm():
    sizes = {"embed_dim": 12, "num_heads": 3, "depth": 2, "num_classes": 0}
    return VisionTransformer(img_size=(4, 6), patch_size=2, in_chans=1, **sizes)


SMALL = {"vocab_size": 11, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
WIDTH = {"hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 48, "num_hidden_layers": 2}


def small_bert():
    return bert("bert", **SMALL, **WIDTH)


def small_roberta():
    special = {"pad_token_id": 1, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    return bert("roberta", **SMALL, **WIDTH, **special)


def small_distilbert():
    return bert(
        "distilbert", vocab_size=11, dim=12, n_heads=3, hidden_dim=48, n_layers=2, dropout=0.0, attention_dropout=0.0
    )


def ids():
    """Words of three texts of five, two and four, behind which stands padding (RoBERTa's)."""
    x = torch.ones(3, 5, dtype=torch.long)
    for row, words in enumerate([[2, 7, 10, 3, 4], [5, 6], [9, 8, 2, 3]]):
        x[row, : len(words)] = torch.tensor(words)
    return x, x != 1


def first(model, x, valid):
    return model(input_ids=x, attention_mask=valid.long()).last_hidden_state[:, 0]


def mean(model, x, valid):
    valid = valid.double()[:, :, None]
    return (model(input_ids=x, attention_mask=valid[:, :, 0].long()).last_hidden_state * valid).sum(1) / valid.sum(1)


def whole(model, x, _):
    return model(x)


def patches(model, x, _):
    return model(x).last_hidden_state[:, 1:].mean(1)


class TemporalBlock(nn.Module):
    """Bai et al.'s, without weight normalisation and dropout."""

    def __init__(self, channels, width, kernel, dilation):
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.conv1 = nn.Conv1d(channels, width, kernel, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.downsample = nn.Conv1d(channels, width, 1) if channels != width else None

    def forward(self, x):
        h = x
        for conv in [self.conv1, self.conv2]:
            h = conv(nn.functional.pad(h, (self.reach, 0))).relu()
        return (h + (self.downsample(x) if self.downsample else x)).relu()


class Tcn(nn.Module):
    def __init__(self, channels, widths, kernel):
        super().__init__()
        pairs = zip([channels, *widths], widths)
        self.network = nn.ModuleList(TemporalBlock(i, o, kernel, 2**d) for d, (i, o) in enumerate(pairs))

    def forward(self, x):
        for block in self.network:
            x = block(x)
        return x


def last_step(model, x, valid):
    """Each sample cut to its valid positions."""
    return torch.stack([model(row[None, :, : int(v.sum())])[0, :, -1] for row, v in zip(x, valid)])


def mean_step(model, x, valid):
    return torch.stack([model(row[None, :, : int(v.sum())])[0].mean(1) for row, v in zip(x, valid)])


class Frames(nn.Module):
    """Linear layers on each row of a sequence."""

    def __init__(self, channels, widths):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(i, o) for i, o in zip([channels, *widths], widths))

    def forward(self, rows):
        for block in self.blocks:
            rows = block(rows).relu()
        return rows


def side_by_side(model, x, valid):
    """The valid frames of each sample, as if there were no others, and zeros behind them."""

    def sample(row, v):
        frames = model(row[:, : int(v.sum())].T)
        return torch.cat([frames, frames.new_zeros(len(v) - len(frames), frames.shape[1])]).flatten()

    return torch.stack([sample(row, v) for row, v in zip(x, valid)])


class Vectors(nn.Module):
    """BERT's layers over vectors behind a class token."""

    def __init__(self, length, channels, width, heads):
        super().__init__()
        layers = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 4 * width}
        self.encoder = bert("bert", **SMALL, **layers, num_hidden_layers=2).encoder
        self.embeddings = nn.Module()
        self.embeddings.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.embeddings.projection = nn.Linear(channels, width)
        self.embeddings.position_embeddings = nn.Embedding(length + 1, width)
        self.embeddings.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, vectors):
        e = self.embeddings
        tokens = torch.cat([e.cls_token, e.projection(vectors)[None]], 1)
        tokens = e.LayerNorm(tokens + e.position_embeddings.weight[: tokens.shape[1]])
        return self.encoder(tokens).last_hidden_state[0]


def mean_vector(model, x, valid):
    """The mean of class token and valid vectors, as if there were no others."""
    return torch.stack([model(row[: int(v.sum())]).mean(0) for row, v in zip(x, valid)])


def frames(model, x, _):
    """The mean over the frames of a video, each a picture of the batch."""
    pictures = x.transpose(1, 2)
    return model(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2]).mean(1)


def noise(*shape, lengths=None, time=-1):
    x = torch.randn(shape, dtype=torch.float64)
    return (x, None) if lengths is None else (x, torch.arange(shape[time]) < torch.tensor(lengths)[:, None])


# Name: network, input with its valid positions, feature.
CASES = {
    "resnet-basic": (
        lambda: SmallResNet(resnet.BasicBlock, [1, 2, 1, 1], 3, 3),
        lambda: noise(3, 3, 21, 17),
        whole,
    ),
    "resnet-bottleneck": (
        lambda: SmallResNet(resnet.Bottleneck, [2, 1, 1, 1], 2, 1),
        lambda: noise(3, 1, 33, 19),
        whole,
    ),
    "resnet-video": (
        lambda: SmallResNet(resnet.BasicBlock, [1, 1], 3, 2),
        lambda: noise(2, 2, 3, 13, 9),
        frames,
    ),
    "vit-class": (small_vit, lambda: noise(2, 3, 6, 4), lambda model, x, _: model(x).last_hidden_state[:, 0]),
    "vit-mean": (small_vit, lambda: noise(2, 3, 6, 4), patches),
    "vit-timm": (small_timm, lambda: noise(2, 1, 4, 6), whole),
    "bert-first": (small_bert, ids, first),
    "bert-mean": (small_bert, ids, mean),
    "roberta-first": (small_roberta, ids, first),
    "distilbert-mean": (small_distilbert, ids, mean),
    "transformer-vectors": (
        lambda: Vectors(5, 3, 6, 2),
        lambda: noise(3, 5, 3, lengths=[5, 1, 3], time=1),
        mean_vector,
    ),
    "sequence": (lambda: Frames(3, [5, 4]), lambda: noise(3, 3, 6, lengths=[6, 1, 4]), side_by_side),
    "tcn-last": (lambda: Tcn(3, [5, 5, 4], 3), lambda: noise(3, 3, 9, lengths=[9, 1, 6]), last_step),
    "tcn-mean": (lambda: Tcn(3, [4, 6], 2), lambda: noise(2, 3, 7, lengths=[4, 7]), mean_step),
}


def cut(tensors):
    """Tables of positions without the rows that nothing reads."""
    return {name: t[:8] if "position_embeddings" in name and t.dim() == 2 else t for name, t in tensors.items()}


def case(name, make, data, feature):
    torch.manual_seed(sum(map(ord, name)))
    model = make().double()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * (0.6 if parameter.dim() > 1 else 0.3)
    for key, tensor in floats(model).items():
        tensor.copy_(tensor.float())
        if key.endswith("running_var"):
            tensor.copy_((0.5 + torch.rand_like(tensor)).float())
    x, valid = data()
    x = x.float().double() if x.is_floating_point() else x
    before = {key: tensor.clone() for key, tensor in floats(model).items()}
    out = {f"w.{key}": tensor for key, tensor in cut(before).items()}
    out["x"] = x
    if valid is not None:
        out["valid"] = valid
    for mode in ["eval", "train"]:
        model.train(mode == "train")
        model.zero_grad()
        y = feature(model, x, valid)
        out.setdefault("probe", torch.randn_like(y).float())
        (y * out["probe"].double()).sum().backward()
        out[f"{mode}.feature"] = y
        grads = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        out |= {f"{mode}.g.{key}": grad for key, grad in cut(grads).items()}
    after = floats(model)
    out |= {f"after.{key}": after[key] for key in after if "running" in key}
    write(HERE / f"{name}.safetensors", out)


def positions():
    """A table of 1 + 3 x 3 positions for grids of other sizes."""
    torch.manual_seed(1)
    table = torch.randn(1, 10, 4)
    grid = table[:, 1:].double().reshape(1, 3, 3, 4).permute(0, 3, 1, 2)
    out = {"table": table}
    for size in [(2, 5), (6, 6), (4, 1), (1, 9)]:
        cells = nn.functional.interpolate(grid, size=size, mode="bicubic", align_corners=False)
        out["grid.{}x{}".format(*size)] = cells.permute(0, 2, 3, 1).reshape(1, -1, 4)
    write(HERE / "positions.safetensors", out)


if __name__ == "__main__":
    print(torch.__version__, timm.__version__, transformers.__version__)
    names()
    for name, (make, data, feature) in CASES.items():
        case(name, make, data, feature)
    positions()
