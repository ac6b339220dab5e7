"""What belongs to one number: digits of any width, what joins them, their sign and their unit."""

from __future__ import annotations

import regex

_JOINT = r"[．，：–—\-.,:~～/／−·]"
_SIGN = r"[+\-−±＋－~～≈]"
_HAN_DIGIT = r"零〇一二三四五六七八九十百千万亿两"
_HAN_UNIT = (
    r"美元|欧元|日元|港元|英镑|公里|公斤|公顷|平方米|立方米|平方公里|小时|分钟|个月|年代|世纪|摄氏度"
    r"|[年月日号时点分秒元角块米斤吨克升度岁个人名位次届条项件台辆家户亩里倍天周章节页版层级路楼室期]"
)
_UNIT = (
    r"[%％‰°℃℉]C?"
    r"|[万亿千百十兆]{1,4}(?:[\p{Han}--[零〇一二三四五六七八九和与至到是的]])?"
    rf"|{_HAN_UNIT}"
    r"|(?:[kcmMGTμ]?(?:m|g|L|l|W|Hz|B|b|Pa|V|A|s|h)|mph|px)(?:/[hsm])?[²³]?(?![0-9A-Za-z])"
)
_BEFORE = rf"第|№|(?<![0-9A-Za-z])[A-Z]{{0,2}}(?:{_SIGN}?\p{{Sc}}|{_SIGN})"
_ONE = rf"(?:{_BEFORE})?\d+(?:{_JOINT}{{1,2}}\p{{Sc}}?\d+)*+(?:[ ]?(?:{_UNIT}))?"

# A date, a span of time, a range: numbers that follow each other. Then their parts, and theirs.
NUMBER = regex.compile(rf"{_ONE}(?:(?:{_JOINT}{{1,2}}|[至到])?{_ONE}){{0,5}}", regex.VERSION1)
PART = regex.compile(_ONE, regex.VERSION1)
DIGITS = regex.compile(r"\d+")
HAN_NUMBER = regex.compile(
    rf"第?[{_HAN_DIGIT}]{{2,}}(?:点[{_HAN_DIGIT}]+)?(?:{_HAN_UNIT})?", regex.VERSION1
)
