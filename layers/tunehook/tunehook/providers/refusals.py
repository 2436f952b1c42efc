"""What the text of an error says: no such task, no credit, a key that is not accepted or may not ask this.

Gateways say the same things under different codes and HTTP statuses, in English and in Chinese
(docs/provider-contracts.md, "Errors").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tunehook.providers import coerce
from tunehook.providers.outcomes import Unauthorised

_MAX_DETAIL: Final = 300

_NOT_FOUND_CODES: Final = {
    *coerce.names(
        "task_not_exist task_not_exists task_not_found tasknotfound not_found notfound record_not_found"
    )
}
_THING: Final = (
    r"(?:tasks?|jobs?|records?|songs?|music|clips?|generations?|predictions?|lyrics|data"
    r"|request[\s_-]?id|task[\s_-]?id)"
)
_ITEM: Final = r"(?:任务|任務|记录|記錄|作业|作業|歌曲|作品|音乐|音樂|数据|數據)"
_NOT_FOUND: Final = (
    rf"(?i)\b{_THING}[\w\s'\"`:#.-]{{0,80}}?(?:(?:is|was|could|can)?\s?_?not[\s_]?(?:be\s)?(?:found|exist)"
    r"|(?:does|do|did)(?:\snot|n't)\sexist|no\slonger\sexists?|(?:has\s|have\s|was\s|were\s|is\s)?(?:been\s|already\s)?"
    r"(?:expired|deleted|removed|purged))"
    rf"|(?:no\ssuch|unknown|can(?:not|'t|\snot)\sfind(?:\sthe)?|invalid|non-?existent)\s{_THING}\b"
    rf"|\bno\s{_THING}\s(?:with|for|found|by|matching|exists)\b|\bno\smatching\s{_THING}\b"
    r"|task[\s_-]?id\W{0,3}(?:is\s)?(?:invalid|unknown|incorrect|no\srecord)"
    rf"|{_ITEM}[^。，,]{{0,20}}(?:不存在|未找到|找不到|查不到|无效|無效|已过期|已過期|已删除|已被删除|已失效)"
    rf"|(?:找不到|未找到|没有找到|不存在|查无|查無|无此|無此|没有)[^。，,]{{0,10}}{_ITEM}"
)
_NO_SUCH_PATH: Final = (
    r"(?i)invalid url|\broute\b|\bendpoint\b|cannot (?:get|post)|page not found|接口|路径|路由"
)
_NOT_ABOUT_A_TASK: Final = r"(?i)\bmodel\b|\bchannel\b|\btoken\b|\buser\b|模型|渠道|令牌|用户"
_A_TASK: Final = r"(?i)\b(?:tasks?|jobs?)(?:\b|[\s_-]?id|_not)|任务|任務"
_NO_CREDIT: Final = (
    r"(?i)insufficient[\s_](?:user[\s_])?(?:quota|credits?|balance|funds)|(?:quota|credits?|balance)[\w\s]{0,30}"
    r"(?:insufficient|exhausted|used\sup|run\sout|not\senough|too\slow|exceeded)|out\sof\s(?:quota|credits?)"
    r"|not\senough\s(?:quota|credits?|balance|points)|no\s(?:credits?|quota|balance)\b|payment\srequired|top[\s-]?up"
    r"|exceeded\syour\s(?:current\s)?quota|arrears|recharge|billing"
    r"|(?:余额|餘額|额度|額度|积分|點數|点数|配额)[^。]{0,12}(?:不足|不够|用尽|已用完|耗尽|为0)|欠费|请充值|請充值"
)
_OF_MONEY: Final = (
    r"(?i)balance|credit|billing|payment|recharge|insufficient_(?:user_)?quota|余额|餘額|积分|点数|欠费|充值"
)
_TOO_OFTEN: Final = (
    r"(?i)too many|rate[\s_-]?limit|limit exceeded|per (?:second|minute|hour|day)\b|frequen|concurren|slow down|throttl"
    r"|频率|頻率|频繁|頻繁|限流|请求过多|請求過多|并发|稍后再试"
)
_MODELS: Final = r"(?i)\bmodel\b|模型"
_MAY_BE_CREDIT: Final = frozenset({200, 400, 401, 403, 429, 430})
_TEXTS: Final = ("code", "message", "msg", "err_msg", "error_msg", "errorMessage", "detail", "description")
_WRONG_KEY: Final = (
    r"(?i)invalid[\s_](?:api[\s_-]?)?(?:key|token)|incorrect api key|unauthori[sz]ed|authentication|not logged in"
    r"|(?:api[\s_-]?key|token)[\w\s]{0,20}(?:invalid|expired|disabled|revoked|required)"
    r"|(?:令牌|密钥|金鑰|api ?key)[^。]{0,12}(?:无效|無效|错误|过期|已过期|不正确|禁用)"
    r"|无效的(?:令牌|密钥)|未提供令牌|未授权|未登录"
)


def message(payload: Any) -> str | None:
    """Return the message of an error object, its code first, shortened; None where it has none."""
    texts = _texts(payload) if isinstance(payload, dict) else ()
    return " ".join(dict.fromkeys(texts))[:_MAX_DETAIL] or None


def described(status: int, payload: Any) -> str:
    return f"HTTP {status}: {said}" if (said := message(payload)) else f"HTTP {status}"


def says_not_found(payload: Mapping[str, Any]) -> bool:
    """Return whether an error's text says that there is no such task, and not that there is no such path or model."""
    said = message(payload) or ""
    if re.search(_NO_SUCH_PATH, said):
        return False
    if re.search(_NOT_FOUND, said):
        return re.search(_A_TASK, said) is not None or re.search(_NOT_ABOUT_A_TASK, said) is None
    codes = {text.strip().lower().replace("-", "_") for text in _texts(payload)}
    return bool(codes & _NOT_FOUND_CODES) and not re.search(_NOT_ABOUT_A_TASK, said)


def refusal(status: int, payload: Mapping[str, Any], described: str) -> Unauthorised | None:
    """Return what an error object says about the key, with the error as `described`; None if nothing.

    `status` is the HTTP status, or the error's own code where that is one.
    """
    said = _all_texts(payload)
    # "Quota exceeded: 60 requests per minute" is about requests, not about money.
    has_no_credit = re.search(_NO_CREDIT, said) is not None and not says_too_often(payload)
    if status == 402 or (status in _MAY_BE_CREDIT and has_no_credit):
        return Unauthorised(f"no credit left: {described}", "credit")
    if status == 403 and not re.search(_WRONG_KEY, said):
        hint = ": make a key without a model list" if re.search(_MODELS, said) else ""
        return Unauthorised(f"the key may not ask this{hint}: {described}", "access")
    if status in (401, 403) or (status in (200, 400) and re.search(_WRONG_KEY, said)):
        return Unauthorised(described)
    return None


def says_no_such_path(payload: Mapping[str, Any]) -> bool:
    """Return whether an error's text says that there is no such path, or none for this method."""
    said = _all_texts(payload)
    return re.search(_NO_SUCH_PATH, said) is not None or re.search(r"(?i)\bmethod\b|方法", said) is not None


def says_too_often(payload: Mapping[str, Any]) -> bool:
    """Return whether an error's text says that requests come too often, and not that no credit is left."""
    said = _all_texts(payload)
    return re.search(_TOO_OFTEN, said) is not None and re.search(_OF_MONEY, said) is None


def own_status(payload: Mapping[str, Any]) -> int | None:
    """Return an error's own code where it has the meaning of an HTTP status, as some gateways send beside 200."""
    error = payload.get("error")
    code = payload.get("code", error.get("code") if isinstance(error, dict) else None)
    if isinstance(code, str) and code.strip().isascii() and code.strip().isdigit():
        code = int(code.strip()[:6])
    return code if type(code) is int and 400 <= code < 600 else None


def _all_texts(payload: Mapping[str, Any]) -> str:
    return " ".join(_texts(payload, with_type=True))


def _texts(payload: Mapping[str, Any], *, with_type: bool = False) -> Iterator[str]:
    error = payload.get("error")
    source = error if isinstance(error, dict) else payload
    names = (*_TEXTS, "type") if with_type and source is error else _TEXTS
    for value in (*(source.get(name) for name in names), error, payload.get("errors")):
        if isinstance(value, list):
            value = next(iter(value), None)
            if isinstance(value, dict):
                value = coerce.first(value, "message", "msg", "detail", "title")
        if (text := coerce.text(value, _MAX_DETAIL)) is not None:
            yield text.replace("’", "'")
