"""Words that the built-in samples are made of."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = _words(
    """
    ant axe bag bat bed bee bell belt bike bird boat bone book boot bowl box brick broom bus cabin cake cap
    car card cart cat cave chair clock coat coin cow crab crown cup deer desk dish dog door drum duck eagle
    egg farm fig fish flag flute fork fox frog gate goat grape harp hat hawk hen horn horse house jar jet key
    kite lamb lamp leaf lemon lid lime lion lock log map mask mat moth mouse mug nail nest net nut oak oar
    olive onion owl ox pan paper pea pear pen pig pin pine plate plum pot rat ring rock rope rose rug saw seed
    shed sheep ship shirt shoe sock sofa spoon star stone swan table tank tent tie tiger toad tool toy train
    tray tree truck tub van vase web whale wheel wolf zebra
    """
)
"""Things that one can buy, find or carry."""
SIGNS = NOUNS + _words(
    """
    arm art boy bread camp chalk cheese cloud corn ear elbow film fire fog foot gold grass ham hand hill honey
    ice ink iron jam king lake leg milk mill moon mud nose oil paint palm park path pond queen rain rice river
    road roof room sail salt sand sea sink sky snow soap soup sun tea toe tooth town wall well wheat wind wine
    wing wood wool yard
    """
)
"""Words to be read in pictures."""
CHARACTERS = "一二三四五六七八九十大小上下中山水火木土日月人口手目耳天地花草牛羊马鱼鸟车门"
CHINESE = tuple(one + two for one in CHARACTERS for two in CHARACTERS if one != two)
"""Pairs of characters: as with a combination lock, no pair can be guessed from the other."""
VERBS = _words(
    """
    ask bake bring build buy call carry catch climb close come cook count cut dance dig draw drink drive eat
    fall feed feel fight fill find fly follow forget give go grow hear help hide hold jump keep know laugh
    learn leave lift listen live look lose love make meet move need open paint pay plan plant play pull push
    rain read ride run sail say see sell send shout show sing sit sleep smile speak stand start stay steal
    stop swim take talk teach tell think throw travel try turn use visit wait wake walk want wash watch wear
    win work write
    """
)
NAMES = _words(
    """
    Ada Alan Amy Anna Ben Bob Carl Clara Dan Dora Emma Eric Eva Finn Fred Gina Grace Hans Hugo Ida Ines Ivan
    Jack Jane Jim Julia Kate Kim Lara Leo Lily Lin Lisa Luis Mara Mark Max Mei Mia Nina Noah Olga Omar Otto
    Paul Peter Rosa Ruth Sam Sara Theo Tom Uma Vera Wei Will Yan Zoe
    """
)
MONTHS = ("January", "March", "April", "May", "June", "July", "August", "October")
KINDS = {
    "animals": ("cat", "dog", "cow", "frog", "goat", "horse", "lion", "pig", "tiger", "wolf", "duck", "bird"),
    "colours": ("red", "green", "blue", "yellow", "black", "white", "grey", "brown", "pink"),
    "fruits": ("apple", "pear", "plum", "fig", "lemon", "grape", "melon", "kiwi", "cherry"),
    "tools": ("saw", "hammer", "axe", "drill", "file", "spade", "rake", "brush"),
    "vehicles": ("car", "bus", "train", "truck", "ship", "bike", "van", "tram", "jet"),
    "metals": ("iron", "gold", "silver", "zinc", "tin", "lead", "copper", "steel"),
    "drinks": ("tea", "milk", "water", "coffee", "juice", "wine", "beer", "cocoa"),
    "rooms": ("kitchen", "hall", "attic", "cellar", "office", "study", "bathroom", "shop"),
}
"""Members of a kind, by its plural."""


def a(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
