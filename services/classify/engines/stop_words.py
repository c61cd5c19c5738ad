"""English words that carry no content of their own: function words, and what people say while they think."""

from __future__ import annotations

_ARTICLES_AND_PRONOUNS = """
a an the this that these those i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself
we us our ours ourselves they them their theirs themselves who whom whose which what whatever whoever one ones someone somebody something
anyone anybody anything everyone everybody everything nobody nothing none each either neither both all any some every other others another
such same own few many much more most less least several enough
"""
_PREPOSITIONS_AND_CONJUNCTIONS = """
about above across after against along among around as at before behind below beneath beside besides between beyond by despite down during
except for from in inside into like near of off on onto out outside over past per since through throughout till to toward towards under
underneath until unto up upon via with within without and but or nor so yet if then than because although though unless while whereas
whether when whenever where wherever why how however therefore thus hence
"""
_VERBS = """
am is are was were be been being have has had having do does did doing done can could may might must shall should will would ought need
get gets got gotten getting go goes going went gone come comes came coming make makes made let lets put say says said saying tell told know
knows knew known think thinks thought see sees saw seen seem seems seemed want wants wanted take takes took taken give gives gave given
i'm i've i'll i'd you're you've you'll you'd he's he'll he'd she's she'll she'd it's it'll it'd we're we've we'll we'd they're they've
they'll they'd that's that'll there's here's what's who's where's how's let's isn't aren't wasn't weren't hasn't haven't hadn't doesn't
don't didn't can't cannot couldn't won't wouldn't shan't shouldn't mustn't mightn't needn't ain't gonna wanna gotta
"""
_ADVERBS_AND_FILLERS = """
not no yes yeah yep nope okay ok oh ah uh um er erm hmm hm huh wow well now here there just only also too very really quite rather almost
already always never ever often sometimes again once still even maybe perhaps actually basically anyway away back else instead indeed
today tomorrow yesterday soon later please thank thanks sir hello hi hey mister mr mrs ms lot lots bit kind sort thing things stuff way
good right first second next last two three four five six seven eight nine ten hundred thousand
"""
ENGLISH: frozenset[str] = frozenset((_ARTICLES_AND_PRONOUNS + _PREPOSITIONS_AND_CONJUNCTIONS + _VERBS + _ADVERBS_AND_FILLERS).split())
