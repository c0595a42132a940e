"""Words by which people name users, feedback, ratings, times and counts in their graphs."""

from __future__ import annotations

import re


def words_of(name: str) -> set[str]:
    """Return the lower-case words of a name: "ratedAt", "RATED_AT" and "rated at" all give {"rated", "at"}."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return {word for word in re.split(r"[^\w]+|_", parted.lower()) if word}


def mentions(name: str, words: frozenset[str]) -> bool:
    """Return whether a name has one of the words; Chinese ones may stand anywhere in it."""
    return bool(words_of(name) & words) or any(not word.isascii() and word in name for word in words)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


USER_WORDS = _words(
    """user users customer client member listener reader viewer player gamer buyer shopper visitor subscriber consumer
    account patient student reviewer guest patron learner
    用户 顾客 客户 会员 读者 观众 听众 玩家 学生 患者"""
)
FEEDBACK_WORDS = _words(
    """rated rates rating ratings reviewed reviews bought buys purchased purchases ordered orders played plays listened
    listens watched watches viewed views clicked clicks liked likes loved loves visited visits read reads saw seen used
    uses owns owned downloaded saved bookmarked favorited favourited attended enrolled borrowed rented booked stayed
    tried voted consumed interacted subscribed
    评分 评价 购买 喜欢 收藏 观看 看过 听过 读过 播放 点击 浏览 打分"""
)
RATING_WORDS = _words("rating ratings rate score stars star grade value points 评分 分数 打分 星级")
TIME_WORDS = _words("timestamp time date datetime at created on when ts since updated 时间 日期")
COUNT_WORDS = _words("count counts plays times quantity qty amount number weight frequency hours 次数 数量")
