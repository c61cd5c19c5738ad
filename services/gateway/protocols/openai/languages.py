"""Languages by the English names that verbose_json uses, lower case (ISO 639-1 codes, those of the languages speech engines know)."""

from __future__ import annotations

_CODES_AND_NAMES = """
af afrikaans am amharic ar arabic as assamese az azerbaijani ba bashkir be belarusian bg bulgarian bn bengali bo tibetan br breton bs bosnian
ca catalan cs czech cy welsh da danish de german el greek en english es spanish et estonian eu basque fa persian fi finnish fo faroese fr french
gl galician gu gujarati ha hausa he hebrew hi hindi hr croatian ht haitian_creole hu hungarian hy armenian id indonesian is icelandic it italian
ja japanese jv javanese ka georgian kk kazakh km khmer kn kannada ko korean la latin lb luxembourgish ln lingala lo lao lt lithuanian lv latvian
mg malagasy mi maori mk macedonian ml malayalam mn mongolian mr marathi ms malay mt maltese my burmese ne nepali nl dutch nn nynorsk no norwegian
oc occitan pa punjabi pl polish ps pashto pt portuguese ro romanian ru russian sa sanskrit sd sindhi si sinhala sk slovak sl slovenian sn shona
so somali sq albanian sr serbian su sundanese sv swedish sw swahili ta tamil te telugu tg tajik th thai tk turkmen tl tagalog tr turkish tt tatar
uk ukrainian ur urdu uz uzbek vi vietnamese yi yiddish yo yoruba zh chinese
"""
_LISTED = _CODES_AND_NAMES.split()
BY_CODE = {code: name.replace("_", " ") for code, name in zip(_LISTED[::2], _LISTED[1::2], strict=True)}


def name_of(tag: str) -> str:
    """``english`` for ``en`` and ``en-GB``; a tag without a name here stays as it is."""
    return BY_CODE.get(tag.lower().split("-")[0], tag)
