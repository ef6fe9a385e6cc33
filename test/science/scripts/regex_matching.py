"""What the regex module can do and `re` can't."""

import regex

print(regex.findall(r"\p{Lu}\p{Ll}+", "Élan vital, Ωmega und Ähre"))
print(regex.fullmatch(r"(?:(\w)(\w))+", "abcdef").captures(1, 2))
print(regex.search(r"\((?:[^()]|(?R))*\)", "f(a(b)(c(d)))e").group())
print(regex.findall(r"(?:lantern){e<=2}", "lantrn lanterns xantern kettle"))
print(regex.sub(r"(?<=\d)(?=(?:\d{3})+\b)", " ", "1234567 and 89"))
print(regex.findall(r"\X", "e\u0301a\u0308o", regex.UNICODE), regex.split(r"(?V1)(?=[A-Z])", "camelCaseName"))
print(regex.findall(r"(?V1)[[a-z]--[aeiou]]+", "vivarium"), regex.findall(r"\d{2}", "1234", overlapped=True))
match = regex.match(r"(?P<year>\d{4})-(?P<month>\d\d)", "2025-03-01")
print(match.groupdict(), match.span("month"), regex.match(r"20\d{2}-1", "2025-", partial=True).partial)
print(regex.sub(r"(?i)straße", "Weg", "STRASSE Straße", flags=regex.FULLCASE), regex.escape("a.b*c"))
