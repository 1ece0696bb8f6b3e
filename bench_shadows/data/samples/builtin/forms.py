"""Tasks about documents: fields of drawn forms, and what stands in notes that are text."""

from bench_shadows.data.samples.builtin import vocabulary
from bench_shadows.data.samples.builtin.canvas import INKS, LATIN, PAPERS, Canvas
from bench_shadows.data.samples.builtin.chance import Dice, members
from bench_shadows.data.samples.builtin.task import Made
from bench_shadows.data.samples.builtin.vocabulary import a

LABELS = ("TAX", "SUM", "DAY", "AGE", "BOX", "FEE")
NUMBERS = tuple(range(1, 100))


def fields(dice: Dice, size: int) -> Made:
    """The value of one field of a form."""
    count = max(2, min(5, size // 24))
    labels = dice.some(LABELS, count)
    values = [dice.own(NUMBERS) for _ in labels]
    canvas = Canvas(size, dice.choice(PAPERS))
    name, ink, high = dice.choice(LATIN[:3]), dice.choice(INKS), 0.94 / count
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        top = 0.03 + place * high
        canvas.letters(label, (0.04, top + 0.12 * high, 0.52, top + 0.88 * high), 3, name, (110, 110, 110))
        canvas.letters(str(value), (0.6, top + 0.12 * high, 0.96, top + 0.88 * high), 2, name, ink)
        canvas.line([(0.03, top + high), (0.97, top + high)], (190, 190, 190), 0.01)
    which = dice.randrange(count)
    asked = dice.choice(("Read the value of the field.", "Find the field and give its value."))
    return Made(asked, str(values[which]), labels[which], canvas.pixels(), "A scan of a form.")


def extraction(dice: Dice, size: int) -> Made:
    """One fact of a short business note."""
    number, amount = dice.own(tuple(range(100, 1000))), dice.own(tuple(range(10, 100)))
    name, thing = dice.own(vocabulary.NAMES), dice.own(vocabulary.NOUNS)
    day, month = dice.randint(1, 28), dice.choice(vocabulary.MONTHS)
    note = dice.choice(
        (
            f"Bill {number}: {name} pays {amount} euros for {a(thing)} on {day} {month}.",
            f"On {day} {month}, {name} buys {a(thing)} for {amount} euros. Bill {number}.",
            f"{name} owes {amount} euros for {a(thing)}, bill {number}, due on {day} {month}.",
        )
    )
    what, answer = dice.choice(
        (
            ("number of the bill", str(number)),
            ("amount in euros", str(amount)),
            ("name of the buyer", name),
            ("day and the month", f"{day} {month}"),
        )
    )
    return Made(f"Find the {what} in the note.", answer, note)


def keywords(dice: Dice, size: int) -> Made:
    """The things that a note is about, in its order."""
    things = dice.some(members(vocabulary.NOUNS, dice.split), dice.randint(2, 3))
    name, place = dice.own(vocabulary.NAMES), dice.choice(("shop", "office", "port", "market"))
    listed = " and ".join(map(a, things))
    note = dice.choice((f"{name} brings {listed} to the {place}.", f"The {place} sends {name} {listed}."))
    return Made("List the goods in the note, with commas.", ", ".join(things), note)
