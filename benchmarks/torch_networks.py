"""The networks of benchmarks/networks.py in PyTorch, with the names of our exports."""

import numpy as np
import torch
from torch import nn

from reid_jax.models import torch_weights

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as ours


class Bottleneck(nn.Module):
    def __init__(self, in_features: int, width: int, stride: int, dims: int):
        super().__init__()
        conv, norm = _layers(dims)
        out = 4 * width
        self.conv1 = conv(in_features, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = conv(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = conv(width, out, 1, bias=False)
        self.bn3 = norm(out)
        self.downsample = nn.Sequential()
        if stride != 1 or in_features != out:
            self.downsample.append(conv(in_features, out, 1, stride, bias=False))
            self.downsample.append(norm(out))

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        return (self.bn3(self.conv3(y)) + self.downsample(x)).relu_()


def _layers(dims: int):
    return getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d")


class ResNet(nn.Module):
    """ResNet-50 of images (`dims` 2) or clips: the map of its last layer."""

    def __init__(self, dims: int):
        super().__init__()
        conv, norm = _layers(dims)
        self.dims = dims
        stem_stride = (1, 2, 2)[-dims:]
        self.conv1 = conv(3, 64, 7, stem_stride, padding=3, bias=False)
        self.bn1 = norm(64)
        features = 64
        for stage, num_blocks in enumerate((3, 4, 6, 3)):
            layer, width = nn.Sequential(), 64 * 2**stage
            for block in range(num_blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layer.append(Bottleneck(features, width, stride, dims))
                features = 4 * width
            setattr(self, f"layer{stage + 1}", layer)

    def forward(self, x):
        pool = (nn.functional.max_pool2d, nn.functional.max_pool3d)[self.dims - 2]
        x = pool(self.bn1(self.conv1(x)).relu_(), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class C3D(nn.Module):
    stages = (("1",), ("2",), ("3a", "3b"), ("4a", "4b"), ("5a", "5b"))

    def __init__(self, in_fc6: int):
        super().__init__()
        features, width = 3, 64
        for stage in self.stages:
            for name in stage:
                layer = nn.Conv3d(features, width, 3, padding=1)
                setattr(self, f"conv{name}", layer)
                features = width
            width = min(2 * width, 512)
        self.fc6 = nn.Linear(in_fc6, 4096)
        self.fc7 = nn.Linear(4096, 4096)

    def forward(self, x):
        for index, stage in enumerate(self.stages):
            for name in stage:
                x = getattr(self, f"conv{name}")(x).relu_()
            window = (1, 2, 2) if index == 0 else 2
            padding = (0, 1, 1) if index == 4 else 0
            x = nn.functional.max_pool3d(x, window, padding=padding)
        x = nn.functional.dropout(self.fc6(x.flatten(1)).relu_(), 0.5, self.training)
        return self.fc7(x).relu_()


class Network(nn.Module):
    """Clips [B, T, 3, H, W] → embeddings [B, D] and logits, as our `build_model`.

    `temporal` is "attn_tconv", or "none" for a 3-D trunk. The trunk gets frames in
    `memory_format`.
    """

    memory_format = torch.contiguous_format

    def __init__(self, name: str, temporal: str, trunk: dict, heads: dict):
        super().__init__()
        self.temporal = temporal
        is_c3d = name == "c3d"
        fc6 = trunk["fc6.weight"].shape[1] if is_c3d else 0
        self.base = C3D(fc6) if is_c3d else ResNet(3 if "3d" in name else 2)
        self.base.load_state_dict({k: torch.tensor(v) for k, v in trunk.items()})
        if temporal == "attn_tconv":
            size = heads["attention_conv.weight"].shape[2:]
            self.attention_conv = nn.Conv2d(2048, 256, size)
            self.attention_tconv = nn.Conv1d(256, 1, 3, padding=1)
        num_pids, features = heads["classifier.weight"].shape
        self.classifier = nn.Linear(features, num_pids)
        weights = {k: torch.tensor(v) for k, v in heads.items()}
        missing, unused = self.load_state_dict(weights, strict=False)
        assert not unused and all(name.startswith("base.") for name in missing)

    def forward(self, clips):
        if self.temporal == "none":
            clips = clips.movedim(1, 2)
            maps = self.base(clips.contiguous(memory_format=self.memory_format))
            embedding = maps.flatten(2).mean(2) if maps.ndim > 2 else maps
            return embedding, self.classifier(embedding)
        B, T = clips.shape[:2]
        frames = clips.flatten(0, 1).contiguous(memory_format=self.memory_format)
        maps = self.base(frames)
        spatial = self.attention_conv(maps).relu().view(B, T, -1).movedim(1, 2)
        weights = self.attention_tconv(spatial).relu()[:, 0].softmax(1)
        features = maps.mean((2, 3)).view(B, T, -1)
        embedding = torch.einsum("bt,btd->bd", weights, features)
        return embedding, self.classifier(embedding)


def from_ours(name: str, model, config, device: torch.device) -> Network:
    """The same network as `model`, one of ours, with the same weights."""
    trunk = torch_weights.export_torch_weights(model.base)
    heads = torch_weights.export_torch_weights(model)
    heads = {k: v for k, v in heads.items() if k.startswith("attention")}
    heads["classifier.weight"] = np.asarray(model.classifier.kernel[...]).T
    heads["classifier.bias"] = np.asarray(model.classifier.bias[...])
    network = Network(name, config.model.temporal, trunk, heads)
    is_3d = "3d" in name
    if device.type == "cuda" or not is_3d:
        network.memory_format = (torch.channels_last, torch.channels_last_3d)[is_3d]
    # The heads have kernels of other numbers of axes.
    network.base.to(memory_format=network.memory_format)
    return network.to(device)


def embedding_and_step(network: Network, clips, labels, dtype: str):
    """Functions: the embedding of uint8 clips [B, T, H, W, 3], a training step."""
    device = next(network.parameters()).device
    fastest = {"fused": True} if device.type == "cuda" else {"foreach": True}
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=5e-4, **fastest)
    pixels = torch.tensor(clips, device=device).movedim(-1, 2)
    labels = torch.tensor(labels, device=device, dtype=torch.int64)
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (_MEAN, _STD))

    def forward(pixels):
        return network((pixels.float() / 255 - mean) / std)

    if device.type == "cuda":
        forward = torch.compile(forward)
    cast = torch.autocast(device.type, torch.bfloat16, dtype == "bfloat16")

    def embed():
        network.eval()
        with torch.no_grad(), cast:
            return forward(pixels)[0]

    def step():
        network.train()
        adam.zero_grad()
        with cast:
            embedding, logits = forward(pixels)
        loss(embedding, logits, labels).backward()
        adam.step()

    return embed, step


def loss(embedding, logits, labels, margin: float = 0.3, smoothing: float = 0.1):
    """Batch-hard triplet and label-smoothed cross-entropy, as paper 1's."""
    embedding, logits = embedding.float(), logits.float()
    distances = torch.cdist(embedding, embedding)
    is_same_pid = labels[:, None] == labels
    positive = distances.masked_fill(~is_same_pid, 0).amax(1)
    negative = distances.masked_fill(is_same_pid, torch.inf).amin(1)
    triplet = (margin + positive - negative).relu().mean()
    return triplet + nn.functional.cross_entropy(
        logits, labels, label_smoothing=smoothing
    )
