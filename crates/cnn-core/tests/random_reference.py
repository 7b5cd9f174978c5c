"""Independent reference for cnn-core's random streams (hashlib and plain Python): prints the numbers pinned in src/random/*.rs.

Run: python3 crates/cnn-core/tests/random_reference.py
"""

import hashlib
import math
import struct


def root(seed):
    return hashlib.sha256(b"cnn-core random v1" + struct.pack("<Q", seed)).digest()


def stream(key, name):
    name = name.encode()
    return hashlib.sha256(key + b"\x01" + struct.pack("<Q", len(name)) + name).digest()


def at(key, position):
    return hashlib.sha256(key + b"\x02" + struct.pack("<Q", position)).digest()


def chacha8_words(key):
    """ChaCha with 8 rounds, 64-bit block counter from 0, zero nonce."""
    rotate = lambda x, n: (x << n | x >> (32 - n)) & 0xFFFFFFFF
    counter = 0
    while True:
        start = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key))
        start += [counter & 0xFFFFFFFF, counter >> 32, 0, 0]
        x = list(start)
        for _ in range(4):
            for a, b, c, d in [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                               (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]:
                for into, other, by, turn in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
                    x[into] = (x[into] + x[other]) & 0xFFFFFFFF
                    x[by] = rotate(x[by] ^ x[into], turn)
        yield from ((v + s) & 0xFFFFFFFF for v, s in zip(x, start))
        counter += 1


class Rng:
    def __init__(self, key):
        self.words = chacha8_words(key)

    def u32(self):
        return next(self.words)

    def u64(self):
        return next(self.words) | next(self.words) << 32

    def uniform(self):
        return (self.u64() >> 11) / 2**53

    def below(self, n):
        while True:
            product = self.u64() * n
            if product % 2**64 >= 2**64 % n:
                return product >> 64

    def normal_pair(self):
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        angle = math.tau * self.uniform()
        return radius * math.cos(angle), radius * math.sin(angle)

    def permutation(self, n):
        order = list(range(n))
        for last in range(n - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def choice(self, n, k):
        order = list(range(n))
        for place in range(k):
            other = place + self.below(n - place)
            order[place], order[other] = order[other], order[place]
        return order[:k]


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


key = at(stream(root(42), "augment"), 7)
print("key", key.hex())
print("root 0", root(0).hex())
rng = Rng(key)
print("u32, u64", rng.u32(), [rng.u64() for _ in range(9)])
rng = Rng(key)
print("uniform", [rng.uniform() for _ in range(3)])
rng = Rng(key)
print("below 10", [rng.below(10) for _ in range(12)])
rng = Rng(key)
print("below 2^63 + 1", [rng.below(2**63 + 1) for _ in range(4)])
rng = Rng(key)
print("normal", [rng.normal_pair()[0] for _ in range(3)])
print("permutation", Rng(key).permutation(12))
print("choice", Rng(key).choice(1000, 6), Rng(key).choice(6, 6))
rng = Rng(key)
print("fill_uniform", [f32(-1 + 3 * (rng.u32() / 2**32)) for _ in range(3)])
rng = Rng(key)
print("fill_normal", [f32(10 + 2 * z) for z in (*rng.normal_pair(), *rng.normal_pair())][:3])
