"""Words that stand for users, events, feedback, ratings, times and counts in the names of a graph."""

from __future__ import annotations

import re


def words_of(name: str) -> set[str]:
    """Return the lower-case words of a name: "ratedAt", "RATED_AT" and "rated at" all give {"rated", "at"}."""
    return set(_ordered(name))


def mentions(name: str, words: frozenset[str]) -> bool:
    """Return whether a name contains one of the words. Chinese words are found anywhere, also inside another word."""
    return bool(words_of(name) & words) or any(not word.isascii() and word in name for word in words)


def is_passive(name: str) -> bool:
    """Return whether a type's name is passive, such as "LIKED_BY" or "boughtBy", so that its end node is the actor."""
    words = _ordered(name)
    if not words:
        return False
    joined = words[-1] != "by" and words[-1].endswith("by") and words[-1][:-2] in FEEDBACK_WORDS | SOCIAL_WORDS
    return words[-1] in ("by", "from") or joined or any(word in name for word in _PASSIVE)


def names_agent(name: str) -> bool:
    """Return whether a relationship type has a word for users in its name: "HAS_READER", "viewer", "CUSTOMER_OF"."""
    return mentions(name, USER_WORDS)


def _ordered(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = [word for word in re.split(r"[^\w]+|_", parted.lower()) if word]
    return [part for word in words for part in _cut(word)]


def _cut(word: str) -> list[str]:
    """Split a word such as "likedby" into ["liked", "by"]; return any other word alone in a list."""
    if word.endswith("by") and word[:-2] in FEEDBACK_WORDS | SOCIAL_WORDS:
        return [word[:-2], "by"]
    return [word]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


USER_WORDS = _words(
    """user users customer customers client clients member members listener listeners reader readers viewer viewers
    player players gamer gamers buyer buyers shopper shoppers visitor visitors subscriber subscribers consumer consumers
    account accounts patient patients student students reviewer reviewers guest guests patron patrons learner learners
    candidate candidates applicant applicants borrower borrowers attendee attendees passenger passengers
    traveller travellers traveler travelers cook cooks donor donors voter voters
    kunde kunden nutzer benutzer leser cliente clientes usuario usuarios utilisateur utilisateurs lecteur lecteurs
    用户 顾客 客户 会员 读者 观众 听众 玩家 学生 患者"""
)
PEOPLE_WORDS = _words(
    """person persons people human humans profile profiles follower fan friend author authors researcher researchers
    developer developers contributor contributors employee employees 人 人物"""
)
FEEDBACK_WORDS = _words(
    """rated rates rating ratings reviewed reviews bought buys purchased purchases ordered orders played plays listened
    listens watched watches viewed views clicked clicks liked likes loved loves visited visits read reads saw seen used
    uses owns owned downloaded saved bookmarked favorited favourited attended enrolled borrowed rented booked stayed
    tried voted consumed interacted subscribed like love rate review recommended upvoted streamed wishlisted
    disliked dislikes swiped added applied answered answers commented comments completed finished cooked starred
    shared bid hired donated pinned wants wanted wishlist wishes heard joined tasted drank ate prescribed
    forked downvoted skipped hated blocked rejected gekauft bestellt bewertet gesehen compró vio leyó acheté vu lu
    评分 评价 购买 喜欢 收藏 观看 看过 听过 读过 播放 点击 浏览 打分"""
)
STAR_WORDS = _words("starred stars star")  # feedback of users, but a person who starred in a film acted in it
SOCIAL_WORDS = _words(
    """follow follows followed following friend friends befriended knows trusts trusted matched messaged contacted
    connected subscribes endorsed endorses invited 关注 好友 朋友 认识"""
)
EVENT_WORDS = _words(
    """order orders purchase purchases loan loans rental rentals session sessions review reviews rating ratings visit
    visits play plays booking bookings reservation reservations transaction transactions invoice invoices receipt
    receipts basket baskets cart carts application applications enrolment enrolments enrollment enrollments
    prescription prescriptions checkin checkins listen click clicks event events interaction interactions subscription
    subscriptions ticket tickets stay stays bestellung bestellungen pedido pedidos commande commandes trip trips
    vote votes comment comments answer answers swipe view impression payment bid
    订单 会话 评论 借阅 交易"""
)
COPY_WORDS = _words("copy copies edition editions instance instances exemplar specimen variant variants version 副本")
MAKER_WORDS = _words(
    """authored wrote writes written created creates made posted posts asked asks published publishes submitted
    uploaded committed opened produced produces directed acted composed painted founded 发布 撰写"""
)
REFERENCE_WORDS = _words(
    """cites cited cite references referenced tagged tags tag mentions mentioned about links linked quotes quoted
    retweets retweeted reposts replies topic topics concerns discusses 引用 标签"""
)
STRONG_WORDS = _words(
    """bought buys purchased purchases purchase ordered orders order rented rental borrowed loan booked booking
    reservation enrolled enrolment enrollment subscribed subscription owns owned applied application paid payment
    completed finished attended stayed hired donated transaction invoice prescribed 购买"""
)
WEAK_WORDS = _words(
    """viewed views view clicked clicks click clicked saw seen impression impressions opened displayed browsed hovered
    visited visits visit session sessions 浏览 点击"""
)
RATING_WORDS = _words(
    "rating ratings rate score stars star grade value points vote thumb thumbs sentiment reaction 评分 分数 打分 星级"
)
LIKE_WORDS = _words(
    """like likes liked love loved positive recommended recommend recommends upvote upvoted thumbsup favorite favourite
    favorited favourited enjoyed satisfied approved 喜欢 推荐 点赞"""
)
DISLIKE_WORDS = _words(
    """not no dislike dislikes disliked hated negative downvote downvoted down skipped blocked rejected thumbsdown
    不 不喜欢"""
)
TIME_WORDS = _words("timestamp time date datetime at created on when ts since updated from start started day 时间 日期")
# Words for true and false, in addition to those that Neo4j understands.
YES_WORDS = ("yes", "y", "t", "up", "like", "liked", "positive")
NO_WORDS = ("no", "n", "f", "down", "dislike", "disliked", "negative")
COUNT_WORDS = _words(
    """count counts plays playcount times quantity qty amount number weight frequency hours minutes playtime listens
    purchases visits 次数 数量"""
)
_PASSIVE = ("被",)
