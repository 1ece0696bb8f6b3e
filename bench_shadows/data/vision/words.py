"""Words that the built-in samples are made of."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = _words(
    """
    ant arm art axe bag bat bed bee bell belt bike bird boat bone book boot bowl box boy bread brick broom bus
    cab cake camp cap car card cart cat cave chair chalk cheese clock cloud coat coin corn cow crab crown cup
    deer desk dish dog door drum duck eagle ear egg elbow farm fig film fire fish flag flute fog foot fork fox
    frog gate goat gold grape grass ham hand harp hat hawk hen hill honey horn horse house ice ink iron jam
    jar jet key king kite lake lamb lamp leaf leg lemon lid lime lion lock log map mask mat milk mill moon
    moth mouse mud mug nail nest net nose nut oak oar oil olive onion owl ox paint palm pan paper park path
    pea pear pen pig pin pine plate plum pond pot queen rain rat rice ring river road rock roof room rope rose
    rug sail salt sand saw sea seed shed sheep ship shirt shoe sink sky snow soap sock sofa soup spoon star
    stone sun swan table tank tea tent tie tiger toad toe tool tooth town toy train tray tree truck tub van
    vase wall web well whale wheat wheel wind wine wing wolf wood wool yard zebra
    """
)
CHARACTERS = "一二三四五六七八九十大小上下中山水火木土日月人口手目耳天地花草牛羊马鱼鸟车门"
CHINESE = tuple(one + two for one in CHARACTERS for two in CHARACTERS if one != two)
"""Pairs of characters: as with a combination lock, no pair can be guessed from the other."""
