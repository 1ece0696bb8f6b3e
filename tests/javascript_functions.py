# ruff: noqa: B023, B905, RUF005, RUF007 - the functions are written as people write them
"""A hundred and more small functions in Python's own idiom, and arguments for them."""

import inspect
import random
import sys
from collections.abc import Callable
from typing import Any

small = tiny = index = int  # kinds of arguments, see `argument`


def add_all(xs: list[int]):
    total = 0
    for x in xs:
        total += x
    return total


def mean(xs: list[float]):
    return sum(xs) / len(xs)


def floor_divide(a: int, b: int):
    return a // b


def remainder(a: int, b: int):
    return a % b


def divide(a: int, b: int):
    return a / b


def float_floor(a: float, b: int):
    return (a // b, a % b)


def both_parts(a: int, b: int):
    return divmod(a, b)


def power(a: int, n: small):
    return a**n


def big_product(a: int, b: int):
    return (a + 10**12) * (b - 10**15) + 1


def factorial(n: small):
    result = 1
    for i in range(2, n + 1):
        result *= i
    return result


def fibonacci(n: small):
    a, b = 0, 1
    for _ in range(n * 12):
        a, b = b, a + b
    return a


def collatz(n: small):
    steps = 0
    while n > 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


def gcd(a: int, b: int):
    while b:
        a, b = b, a % b
    return abs(a)


def is_prime(n: small):
    if n < 2:
        return False
    for d in range(2, n):
        if d * d > n:
            break
        if n % d == 0:
            return False
    return True


def primes_below(n: small):
    found = []
    for i in range(2, n):
        for p in found:
            if i % p == 0:
                break
        else:
            found.append(i)
    return found


def digits(n: int):
    return [int(c) for c in str(abs(n))]


def digit_sum(n: int):
    return sum(int(c) for c in str(n) if c != "-")


def reverse_number(n: int):
    return int(str(abs(n))[::-1])


def to_binary(n: int):
    return bin(n) + hex(n) + oct(n)


def from_binary(text: str):
    return int(text, 2)


def parse_int(text: str):
    try:
        return int(text)
    except ValueError:
        return None


def bits(a: int, b: int):
    return (a & b, a | b, a ^ b, ~a)


def shifts(a: int, n: small):
    return (a << n, a >> n)


def clamp(x: int, low: int, high: int):
    return max(low, min(x, high))


def between(x: int, low: int, high: int):
    return low <= x < high


def sign(x: int):
    if x > 0:
        return 1
    elif x < 0:
        return -1
    else:
        return 0


def absolute(x: float):
    return abs(x) + abs(-x)


def rounded(x: float):
    return round(x)


def rounded_two(x: float):
    return round(x, 2)


def square_root(n: small):
    low, high = 0, n + 1
    while low + 1 < high:
        middle = (low + high) // 2
        if middle * middle <= n:
            low = middle
        else:
            high = middle
    return low


def first(xs: list[int]):
    return xs[0]


def last(xs: list[int]):
    return xs[-1]


def item(xs: list[int], i: index):
    return xs[i]


def character(text: str, i: index):
    return text[i]


def part(xs: list[int], a: index, b: index):
    return xs[a:b]


def part_of_text(text: str, a: index, b: index):
    return text[a:b]


def every_other(xs: list[int], step: index):
    return xs[::step]


def backwards(text: str):
    return text[::-1]


def swap_ends(xs: list[int]):
    xs[0], xs[-1] = xs[-1], xs[0]
    return xs


def rotate(xs: list[int], k: index):
    return xs[k:] + xs[:k]


def replace_slice(xs: list[int], a: index):
    xs[a : a + 2] = [7, 8, 9]
    return xs


def remove_at(xs: list[int], i: index):
    del xs[i]
    return xs


def append_twice(xs: list[int]):
    xs.append(1)
    xs.append(2)
    return None


def extended(xs: list[int], ys: list[int]):
    xs += ys
    xs.extend(y + 1 for y in ys)
    return len(xs)


def inserted(xs: list[int], i: index):
    xs.insert(i, 99)
    return xs


def popped(xs: list[int]):
    return (xs.pop(), xs)


def popped_at(xs: list[int], i: index):
    return (xs.pop(i), xs)


def removed(xs: list[int], x: small):
    xs.remove(x)
    return xs


def position(xs: list[int], x: small):
    return xs.index(x)


def counted(xs: list[int], x: small):
    return xs.count(x)


def sorted_copy(xs: list[int]):
    return sorted(xs)


def sorted_words(words: list[str]):
    return sorted(words)


def sorted_by_length(words: list[str]):
    return sorted(words, key=len)


def sorted_down(xs: list[int]):
    return sorted(xs, reverse=True)


def stable_down(words: list[str]):
    return sorted(words, key=lambda w: len(w), reverse=True)


def sorted_pairs(xs: list[int]):
    return sorted([(x % 3, x) for x in xs])


def sorted_in_place(xs: list[int]):
    xs.sort(key=lambda x: (abs(x), x))
    return xs


def bubble_sort(xs: list[int]):
    for i in range(len(xs)):
        for j in range(len(xs) - i - 1):
            if xs[j] > xs[j + 1]:
                xs[j], xs[j + 1] = xs[j + 1], xs[j]
    return xs


def insertion_sort(xs: list[int]):
    for i in range(1, len(xs)):
        x = xs[i]
        j = i - 1
        while j >= 0 and xs[j] > x:
            xs[j + 1] = xs[j]
            j -= 1
        xs[j + 1] = x
    return xs


def quicksort(xs: list[int]):
    if not xs:
        return []
    p = xs[0]
    rest = xs[1:]
    return quicksort([x for x in rest if x < p]) + [p] + quicksort([x for x in rest if x >= p])


def merge(xs: list[int], ys: list[int]):
    out = []
    i = j = 0
    while i < len(xs) and j < len(ys):
        if xs[i] <= ys[j]:
            out.append(xs[i])
            i += 1
        else:
            out.append(ys[j])
            j += 1
    return out + xs[i:] + ys[j:]


def binary_search(xs: list[int], x: small):
    xs = sorted(xs)
    low, high = 0, len(xs)
    while low < high:
        middle = (low + high) // 2
        if xs[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


def largest(xs: list[int]):
    return max(xs)


def smallest_word(words: list[str]):
    return min(words, key=lambda w: (len(w), w))


def largest_or(xs: list[int]):
    return max(xs, default=-1)


def extremes(a: int, b: int, c: int):
    return (min(a, b, c), max(a, b, c))


def any_negative(xs: list[int]):
    return any(x < 0 for x in xs)


def all_positive(xs: list[int]):
    return all(x > 0 for x in xs)


def some_true(xs: list[int]):
    return (any(xs), all(xs))


def truthiness(xs: list[int], text: str, n: small):
    return [bool(xs), bool(text), bool(n), not xs, not text]


def default_or(text: str, other: str):
    return text or other


def and_chain(xs: list[int], text: str):
    return xs and text


def equal_lists(xs: list[int], ys: list[int]):
    return (xs == ys, xs != ys, xs < ys, xs >= ys)


def compare_words(a: str, b: str):
    return (a < b, a <= b, a == b, a > b)


def contains(xs: list[int], x: small):
    return x in xs


def contains_text(text: str, part: str):
    return part in text


def membership(text: str):
    return [c not in "aeiou" for c in text]


def squares(xs: list[int]):
    return [x * x for x in xs]


def evens(xs: list[int]):
    return [x for x in xs if x % 2 == 0]


def pairs(xs: list[int], ys: list[int]):
    return [(x, y) for x in xs for y in ys if x < y]


def flat(xss: list[list[int]]):
    return [x for xs in xss for x in xs]


def transposed(xss: list[list[int]]):
    return [list(row) for row in zip(*xss)]


def matrix_product(a: list[list[int]]):
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*a)] for row in a]


def numbered(words: list[str]):
    return [(i, w) for i, w in enumerate(words, 1)]


def zipped(words: list[str], xs: list[int]):
    return dict(zip(words, xs))


def counts(text: str):
    found = {}
    for c in text:
        found[c] = found.get(c, 0) + 1
    return found


def grouped(words: list[str]):
    groups = {}
    for w in words:
        groups.setdefault(len(w), []).append(w)
    return groups


def inverted(d: dict[str, int]):
    return {v: k for k, v in d.items()}


def lookup(d: dict[str, int], name: str):
    return d[name]


def lookup_or(d: dict[str, int], name: str):
    try:
        return d[name]
    except KeyError as error:
        return str(error)


def sorted_items(d: dict[str, int]):
    return sorted(d.items(), key=lambda pair: (-pair[1], pair[0]))


def merged(d: dict[str, int], e: dict[str, int]):
    result = d.copy()
    result.update(e)
    return result


def popped_key(d: dict[str, int], name: str):
    return (d.pop(name, None), d)


def tuple_keys(xs: list[int]):
    d = {(x, x % 2): x for x in xs}
    return [d[(x, x % 2)] for x in xs]


def keys_and_values(d: dict[str, int]):
    return (list(d.keys()), list(d.values()), len(d))


def unique(xs: list[int]):
    return sorted(set(xs))


def common(xs: list[int], ys: list[int]):
    return sorted(set(xs) & set(ys))


def different(xs: list[int], ys: list[int]):
    return (len(set(xs) - set(ys)), len(set(xs) | set(ys)))


def seen_twice(xs: list[int]):
    seen = set()
    twice = []
    for x in xs:
        if x in seen:
            twice.append(x)
        seen.add(x)
    return twice


def upper_words(text: str):
    return [w.upper() for w in text.split()]


def titled(text: str):
    return text.title() + text.capitalize() + text.lower()


def stripped(text: str):
    return (text.strip(), text.lstrip("a"), text.rstrip("b"))


def joined(words: list[str]):
    return ", ".join(words)


def split_by(text: str, sep: str):
    return text.split(sep)


def replaced(text: str, old: str):
    return text.replace(old, "-")


def found_at(text: str, part: str):
    return (text.find(part), text.rfind(part), text.count(part))


def starts(text: str, part: str):
    return (text.startswith(part), text.endswith(part))


def padded(text: str, n: small):
    return (text.ljust(n, "."), text.rjust(n), text.center(n, "*"), text.zfill(n))


def tests_of(text: str):
    return (text.isdigit(), text.isalpha(), text.isalnum(), text.isspace(), text.isupper())


def palindrome(text: str):
    kept = [c.lower() for c in text if c.isalnum()]
    return kept == kept[::-1]


def caesar(text: str, k: small):
    out = ""
    for c in text:
        if "a" <= c <= "z":
            out += chr((ord(c) - 97 + k) % 26 + 97)
        else:
            out += c
    return out


def vowels(text: str):
    return sum(1 for c in text if c in "aeiou")


def run_lengths(text: str):
    out = []
    for c in text:
        if out and out[-1][0] == c:
            out[-1][1] += 1
        else:
            out.append([c, 1])
    return out


def formatted(text: str, n: int):
    return f"{text!r:>8}|{n:05d}|{n:+,}|{n:x}|{text:^7}|"


def formatted_float(x: float):
    return f"{x:.2f} {x:8.3e} {x:g} {x} {x:.0%}"


def written(n: int, xs: list[int], text: str):
    return str(n) + str(xs) + repr(text) + str(n > 0) + str(None)


def written_tuple(n: int, text: str):
    return str((n,)) + str((text, n)) + str({text: n})


def checked(n: int):
    if n < 0:
        raise ValueError("negative")
    return n


def asserted(xs: list[int]):
    assert len(xs) > 2, "too short"
    return xs[2]


def handled(xs: list[int], n: small):
    try:
        return xs[n] // n
    except (IndexError, ZeroDivisionError):
        return -1
    finally:
        xs.append(n)


def rethrown(text: str):
    try:
        return int(text) + 1
    except ValueError:
        raise


def make_adder(n: int, xs: list[int]):
    def add(x):
        return x + n

    return [add(x) for x in xs]


def closures(n: small):
    made = []
    for i in range(n):
        made.append(lambda: i)
    return [one() for one in made]


def counter(n: small):
    count = 0

    def step():
        nonlocal count
        count += 1
        return count

    for _ in range(n):
        step()
    return count


def generated(n: small):
    def numbers():
        for i in range(n):
            yield i * i

    return list(numbers())


def many(a: int, b: int = 2):
    return a * 10 + b


def variadic(a: int, b: int):
    def inner(*rest):
        return (len(rest), rest)

    return inner(a, b, 3)


def nested_loops(n: small):
    total = 0
    for i in range(n):
        for j in range(i):
            if j == 3:
                continue
            if i == 9:
                break
            total += i * j
    return total


def pascal(n: small):
    row = [1]
    for _ in range(n):
        row = [1] + [a + b for a, b in zip(row, row[1:])] + [1]
    return row


def hanoi(n: tiny, a: str, b: str, c: str):
    if n == 0:
        return []
    return hanoi(n - 1, a, c, b) + [(a, c)] + hanoi(n - 1, b, a, c)


def ackermann(m: tiny, n: tiny):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


def edit_distance(a: str, b: str):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def knapsack(xs: list[int], limit: small):
    best = [0] * (limit + 1)
    for x in xs:
        for room in range(limit, abs(x) - 1, -1):
            best[room] = max(best[room], best[room - abs(x)] + abs(x))
    return best[limit]


def roman(n: small):
    out = ""
    for value, mark in ((50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")):
        while n >= value:
            out += mark
            n -= value
    return out


def balanced(text: str):
    depth = 0
    for c in text:
        if c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
        if depth < 0:
            return False
    return depth == 0


def type_error(text: str, n: int):
    return text + n


def none_item(xs: list[int]):
    return xs.sort() is None


def repeat(text: str, xs: list[int], n: index):
    return (text * n, xs * n, n * text)


def boolean_sum(xs: list[int]):
    return sum(x > 0 for x in xs) + True


def int_of_float(x: float):
    return (int(x), x == int(x))


def walrus(xs: list[int]):
    return (n := len(xs)) * n + n


def starred(xs: list[int]):
    return [0, *xs, 1]


def unpacked(xs: list[int]):
    a, b = xs
    return a - b


_WORDS = [
    "",
    "a",
    "b",
    "ab",
    "abba",
    "Ab c",
    " b ",
    "101",
    "-12",
    "x1",
    "hello world",
    "(a)(b)",
    "aab",
    "Zoë",
    "😀a",
]


def argument(kind: str, rng: random.Random) -> Any:
    """An argument by the annotation's text; edge cases among them."""
    numbers = [0, 1, -1, 2, 3, 7, -8, 10, 255, 2**31, -(2**40), 2**53 - 1]
    if kind.startswith("list["):
        inner = "small" if kind == "list[int]" else kind[5:-1]
        return [argument(inner, rng) - (3 if inner == "small" else 0) if inner == "small" else argument(inner, rng)
                for _ in range(rng.choice([0, 1, 2, 2, 3, 5, 8]))]  # fmt: skip
    if kind.startswith("dict["):
        return {argument("str", rng): argument("small", rng) for _ in range(rng.randrange(5))}
    ranges = {"small": 24, "tiny": 3}
    if kind in ranges:
        return rng.randrange(ranges[kind])
    if kind == "index":
        return rng.randrange(-4, 5)
    if kind == "float":
        return rng.choice([0.0, 0.5, 1.5, 2.5, -2.5, 1e16, 1e-7, 3.0, rng.uniform(-100, 100), rng.uniform(-1, 1)])
    return rng.choice(_WORDS) if kind == "str" else rng.choice([*numbers, rng.randrange(-1000, 1000)])


def calls(function: Callable[..., Any], count: int = 12) -> list[list[Any]]:
    """Arguments for a function, always the same."""
    rng = random.Random(function.__name__)
    source = inspect.getsource(function)
    head = source[source.index("(") + 1 : source.index("):")]
    kinds = [
        part.partition(": ")[2].partition(" = ")[0]
        for part in head.replace(", ", "\n").replace("str\nint", "str, int").split("\n")
    ]
    return [[argument(kind, rng) for kind in kinds] for _ in range(count)]


FUNCTIONS = [
    (
        inspect.getsource(function)
        .replace(": small", ": int")
        .replace(": tiny", ": int")
        .replace(": index", ": int"),
        name,
        calls(function),
    )
    for name, function in list(vars(sys.modules[__name__]).items())
    if inspect.isfunction(function) and function.__module__ == __name__ and name not in ("argument", "calls")
]
"""[(source, name, calls)]"""
