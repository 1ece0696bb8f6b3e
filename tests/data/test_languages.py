"""Text in German, Japanese, Thai and Russian: told apart, de-duplicated, held out, and whole in the rows."""

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from data.test_prepare import config_for

from bench_shadows.config import Config
from bench_shadows.data.prepare import prepare
from bench_shadows.data.rows.row_store import RowSet
from bench_shadows.data.rows.tokenizer import load_run_tokenizer
from bench_shadows.files import read_json

WORDS = {
    "de": "der Schatten fällt größer wird am Abend über die Straße wo Bücher alte Häuser und Gärten stehen",
    "ru": "тень падает вечером на улицу где старые дома книги и сады стоят тихо зимой люди идут домой",
    "ja": "影は 夕方に 大きく なって 古い 家と 本の ある 通りに 落ちる 人々は 静かに 帰る カタカナも",
    "th": "เงา ตก ลง บน ถนน ตอนเย็น บ้าน เก่า หนังสือ สวน ผู้คน เดิน กลับ บ้าน เงียบ ๆ ฤดูหนาว น้ำ ฟ้า",
}
JOINED = ("ja", "th")
"""Written without spaces between words."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    folder = tmp_path_factory.mktemp("languages")
    draw = random.Random(0)
    with open(folder / "corpus.jsonl", "w", encoding="utf-8") as file:
        for language, line in WORDS.items():
            space = "" if language in JOINED else " "
            for number in range(60):
                text = " ".join(space.join(draw.choices(line.split(), k=10)) for _ in range(8)) + f" {number}"
                copies = [text, f"{text[:-20]}{text[-19:]}"] if number == 7 else [text]
                for copy in copies:
                    file.write(json.dumps({"text": copy, "domain": language}, ensure_ascii=False) + "\n")
    config = config_for(folder / "corpus.jsonl", samples=160, warmup_samples=16)
    config = dataclasses.replace(config, conditions=dataclasses.replace(config.conditions, names=("A", "C")))
    prepare(config, folder / "data")
    return config, folder / "data"


def test_the_languages_are_told_apart(prepared: tuple[Config, Path]) -> None:
    mixture = read_json(prepared[1] / "documents.json")["available"]
    assert {(one["domain"], one["language"]) for one in mixture} == {(name, name) for name in WORDS}


def test_a_near_copy_goes_in_each_of_them(prepared: tuple[Config, Path]) -> None:
    assert read_json(prepared[1] / "documents.json")["corpus"]["duplicates"]["near"] == len(WORDS)


def test_each_is_held_out_and_whole_in_the_rows(prepared: tuple[Config, Path]) -> None:
    config, data = prepared
    tokenizer, rows = load_run_tokenizer(config, data), RowSet(data / "rows" / "held_out")
    table = pq.read_table(data / "documents.parquet").to_pylist()
    assert set(rows.domains) == set(WORDS)
    for language, (start, stop) in rows.domains.items():
        texts = [one["text"] for one in table if (one["split"], one["domain"]) == ("held_out", language)]
        stream = rows.read(range(start, stop)).ravel()
        assert "".join(texts).startswith(tokenizer.decode(stream).removesuffix("\ufffd"))
        whole = np.concatenate([[*ids, tokenizer.end_of_text] for ids in tokenizer.encode_documents(texts)])
        np.testing.assert_array_equal(stream, whole[: len(stream)])
        assert tokenizer.bytes_of(whole).sum() == sum(len(text.encode()) for text in texts)
