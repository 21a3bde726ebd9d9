"""The Morse code book: 64 symbols, two of which have the same code.

Source: the Morse data set of "Characterizing Sparse Connectivity Patterns in Neural Networks"
(Dey, Huang, Beerel, Chugg, 2018). The order of the classes, and so their numbers, is ours; the
authors' is that of a Python 2 dictionary.
"""

_LETTERS = """
.- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..-
-.-- --..
"""
_DIGITS = "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
_MARKS = {
    "!": "-.-.--",
    '"': ".-..-.",
    "'": ".----.",
    "(": "-.--.",
    ")": "-.--.-",
    "+": ".-.-.",
    ",": "--..--",
    "-": "-....-",
    ".": ".-.-.-",
    "/": "-..-.",
    ":": "---...",
    ";": "-.-.-.",
    "=": "-...-",
    "?": "..--..",
    "@": ".--.-.",
    "_": "..--.-",
}
_FOREIGN = {
    "Ü": "..--",
    "Ð": "..--.",
    "Ö": "---.",
    "Ŝ": "...-.",
    "Ä": ".-.-",
    "È": "..-..",
    "CH": "----",
    "Ç": "-.-..",
    "Ĝ": "--.-.",
    "Ĥ": "-.--.",
    "Ĵ": ".---.",
    "Ñ": "--.--",
}

CODES: dict[str, str] = {
    **dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", _LETTERS.split(), strict=True)),
    **dict(zip("0123456789", _DIGITS.split(), strict=True)),
    **_MARKS,
    **_FOREIGN,
}
"""Class name -> dots and dashes. "(" and "Ĥ" share the code `-.--.` and cannot be told apart, so
the best possible accuracy is 63 of 64 symbols, 98.44 %."""
