"""The six sample architectures in PyTorch, to train beside lathe. Every one maps float32 [batch, 1, 28, 28] to logits [batch, 10]."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class LeNet300100(nn.Module):
    """LeCun et al. 1998: 784-300-100-10, fully connected."""

    def __init__(self):
        super().__init__()
        self.ip1 = nn.Linear(784, 300)
        self.ip2 = nn.Linear(300, 100)
        self.ip3 = nn.Linear(100, 10)

    def forward(self, x):
        x = torch.flatten(x, 1)
        return self.ip3(F.relu(self.ip2(F.relu(self.ip1(x)))))


class LeNet5(nn.Module):
    """The Caffe variant that Deep Compression uses: 20-50-500-10, valid 5×5 convolutions, 2×2 max pooling."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.ip1 = nn.Linear(800, 500)
        self.ip2 = nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        return self.ip2(F.relu(self.ip1(torch.flatten(x, 1))))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions; the shortcut is a 1×1 convolution where the shape changes, as in MLPerf Tiny."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        changes_shape = stride != 1 or channels_in != channels_out
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride) if changes_shape else None

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet8(nn.Module):
    """MLPerf Tiny's image classification network, for one channel at 28×28."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(16)
        self.stage1 = ResidualBlock(16, 16, 1)
        self.stage2 = ResidualBlock(16, 32, 2)
        self.stage3 = ResidualBlock(32, 64, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.stem_bn(self.stem(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.classifier(torch.flatten(self.pool(x), 1))


class SeparableBlock(nn.Module):
    """Depthwise 3×3 then pointwise 1×1, each with batch normalisation and ReLU."""

    def __init__(self, channels, stride=1):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.pointwise_bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = F.relu(self.depthwise_bn(self.depthwise(x)))
        return F.relu(self.pointwise_bn(self.pointwise(x)))


class DSCNN(nn.Module):
    """MLPerf Tiny's keyword-spotting shape for an image: a strided convolution, four separable blocks of 64.

    The second block halves the image once more (14×14 to 7×7), which halves the compute.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 64, 4, 2, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(64)
        self.blocks = nn.Sequential(*(SeparableBlock(64, stride) for stride in (1, 2, 1, 1)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.stem_bn(self.stem(x))))
        return self.classifier(torch.flatten(self.pool(x), 1))


class SelfAttention(nn.Module):
    """Multi-head self-attention over 28 tokens, with separate projections."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.width = heads, width
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x):
        def split(t):
            # -1 stands for the batch, so that the exported shape is a constant and not a computation.
            return t.reshape(-1, 28, self.heads, self.width // self.heads)

        query = split(self.query(x)).permute(0, 2, 1, 3)
        key = split(self.key(x)).permute(0, 2, 3, 1)
        value = split(self.value(x)).permute(0, 2, 1, 3)
        scores = torch.matmul(query, key) * (1 / math.sqrt(self.width // self.heads))
        mixed = torch.matmul(torch.softmax(scores, -1), value)
        return self.output(mixed.permute(0, 2, 1, 3).reshape(-1, 28, self.width))


class EncoderLayer(nn.Module):
    """Pre-norm encoder layer."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.ffn1 = nn.Linear(width, hidden)
        self.ffn2 = nn.Linear(hidden, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.ffn2(F.gelu(self.ffn1(self.norm2(x))))


class RowTransformer(nn.Module):
    """Two encoder layers over the 28 image rows; the tokens' mean is classified."""

    def __init__(self, width=64, heads=4, hidden=128):
        super().__init__()
        self.embedding = nn.Linear(28, width)
        self.position = nn.Parameter(torch.randn(1, 28, width) * 0.02)
        self.layers = nn.Sequential(*(EncoderLayer(width, heads, hidden) for _ in range(2)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, 10)

    def forward(self, x):
        x = self.embedding(x.reshape(-1, 28, 28)) + self.position
        return self.classifier(self.norm(self.layers(x)).mean(1))


class RowLSTM(nn.Module):
    """One LSTM layer over the 28 image rows; the last hidden state is classified."""

    def __init__(self, hidden=128):
        super().__init__()
        self.lstm = nn.LSTM(28, hidden)
        self.classifier = nn.Linear(hidden, 10)

    def forward(self, x):
        _, (last, _) = self.lstm(x.reshape(-1, 28, 28).permute(1, 0, 2))
        return self.classifier(last.squeeze(0))
