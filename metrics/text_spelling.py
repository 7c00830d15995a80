"""One form for words that English spells in several ways.

Only spellings that are pronounced alike are joined: "practise" and "practice" become one word, "aluminum" and
"aluminium" stay two. Which spelling stands for all is of no account, since both sides of a comparison get it.
"""

from __future__ import annotations

import re
from functools import lru_cache

# What stands before -our, which American English writes -or; before -re (-er); and before a doubled l (a single one).
_OUR = (
    "arb ard arm behavi cand clam clang col demean endeav enam fav ferv flav glam harb hon hum lab misdemean neighb od "
    "parl ranc rig rum savi sav splend succ tum val vap vig"
)
_RE = (
    "accout calib cent fib goit lit louv lust meag met mit nit och reconnoit sab saltpet scept sepulch somb spect theat"
)
_DOUBLED = (
    "backpeda bedevi bejewe beve cance caro cavi channe chise counci counse crue cudge dia disembowe dishe disheve "
    "drive due ename equa fue funne gambo grave grove grue hove impane imperi initia jewe kenne labe laure leve libe "
    "marsha marve meda mode pane parce peda penci peri pumme quarre rave refue remode reve riva shove shrive signa "
    "snive snorke spira squirre stenci swive tasse tota towe tramme trave tria tunne wease wooe yode"
)
# Beginnings and whole words that are spelled in several ways: the first stands for the others.
_BEGINNINGS = (
    "almanac almanack, anem anaem, anesth anaesth, archeo archaeo, balk baulk, bannister banister, bevi bevvi, "
    "bougainvillea bougainvillaea, calisthen callisthen, cesarean caesarean, check cheque, checkered chequered, "
    "chimer chimaer, cipher cypher, clarinetist clarinettist, cozi cosi, curb kerb, diarrhea diarrhoea, "
    "draft draught, edem oedem, encycloped encyclopaed, eon aeon, esoph oesoph, esthet aesthet, estr oestr, "
    "etiolog aetiolog, fec faec, fet foet, gauge gage, gonorrhe gonorrhoe, gray grey, gynec gynaec, hem haem, "
    "homeo homoeo, jail gaol, leukem leukaem, maneuver manoeuvre, maneuvera manoeuvra, maneuvered manoeuvred, "
    "maneuvering manoeuvring, mediev mediaev, mold mould, molt moult, mustach moustach, orthoped orthopaed, "
    "outmaneuver outmanoeuvre, outmaneuvered outmanoeuvred, outmaneuvering outmanoeuvring, paleo palaeo, ped paed, "
    "pharmacope pharmacopoe, plow plough, presid praesid, primev primaev, remold remould, siphon syphon, "
    "skeptic sceptic, smolder smoulder, snowplow snowplough, sulf sulph, toxem toxaem, tranquil tranquill, "
    "wagon waggon, worshiped worshipped, worshiper worshipper, worshiping worshipping, yogurt yoghurt yoghourt"
)
_WORDS = (
    "acknowledgment acknowledgement, aging ageing, analog analogue, analogs analogues, appall appal, appalls appals, "
    "artifact artefact, artifacts artefacts, ax axe, battleax battleaxe, behoove behove, behooved behoved, "
    "behooves behoves, bevy bevvy, biased biassed, biasing biassing, bingeing binging, buses busses, busing bussing, "
    "caliper calliper, calipers callipers, cancellation cancelation, catalog catalogue, cataloged catalogued, "
    "cataloging cataloguing, catalogs catalogues, chili chilli, connection connexion, connections connexions, "
    "cozy cosy, defense defence, defenseless defenceless, defenses defences, dialog dialogue, dialogs dialogues, "
    "disk disc, disks discs, distill distil, distills distils, enroll enrol, enrollment enrolment, enrolls enrols, "
    "enthrall enthral, enthralls enthrals, epaulet epaulette, epaulets epaulettes, epilog epilogue, "
    "epilogs epilogues, fulfill fulfil, fulfillment fulfilment, fulfills fulfils, gases gasses, gauging gaging, "
    "gluing glueing, guerrilla guerilla, gypsies gipsies, gypsy gipsy, inflection inflexion, inflections inflexions, "
    "install instal, installment instalment, installments instalments, installs instals, instill instil, "
    "instills instils, jewelry jewellery, judgment judgement, judgments judgements, libelous libellous, "
    "license licence, licensed licenced, licenses licences, licensing licencing, likable likeable, "
    "marvelous marvellous, marvelously marvellously, minibuses minibusses, monolog monologue, monologs monologues, "
    "offense offence, offenses offences, okay ok, omelet omelette, omelets omelettes, pajama pyjama, pajamas pyjamas, "
    "panelist panellist, panelists panellists, phony phoney, pouf pouffe, poufs pouffes, practice practise, "
    "practiced practised, practices practises, practicing practising, pretense pretence, pretenses pretences, "
    "prolog prologue, prologs prologues, sheik sheikh, sheiks sheikhs, skillful skilful, skillfully skilfully, "
    "stories storeys, story storey, tire tyre, tires tyres, ton tonne, tons tonnes, tranquility tranquillity, "
    "travelog travelogue, travelogs travelogues, whiskey whisky, willful wilful, woolen woollen, woolens woollens, "
    "woolies woollies, wooly woolly"
)


def _pairs(table: str) -> dict[str, str]:
    """ "ax axe, story storey" -> {"axe": "ax", "storey": "story"}."""
    rows = (row.split() for row in table.split(","))
    return {other: first for first, *others in rows for other in others}


def _any(words: str) -> str:
    return "|".join(words.split())


_BEGINS = _pairs(_BEGINNINGS)
_LONGEST_FIRST = "|".join(sorted(_BEGINS, key=len, reverse=True))
_RULES = tuple(  # letters that a word must have for the rule to be tried, which saves most of the time; rule
    (letters, re.compile(pattern), replacement)
    for letters, pattern, replacement in (
        ("", rf"^({_LONGEST_FIRST})", lambda match: _BEGINS[match[1]]),
        ("our", rf"({_any(_OUR)})our", r"\1or"),
        ("re", rf"({_any(_RE)})re(?=s?$|piece|fold|glass|goer|ments?$)", r"\1er"),
        ("red", rf"({_any(_RE)})r(?=ed$)", r"\1er"),
        ("ring", rf"({_any(_RE)})r(?=ing$)", r"\1er"),
        ("ll", rf"({_any(_DOUBLED)})ll(?=(?:ed|ings?|ers?|ors?|est|ingly)$)", r"\1l"),
        ("gramme", r"gramme(?=s?$)", "gram"),
        ("iz", r"(?<=[a-z]{3})iz(?=(?:e[drs]?|ers|ing|ingly|able|ably|ance|ations?|ational|ement)$)", "is"),
        ("yz", r"(?<=[a-z]{3})yz(?=(?:e[drs]?|ers|ing)$)", "ys"),
    )
)
_SAME = _pairs(_WORDS)


@lru_cache(maxsize=1 << 16)
def spelled(word: str) -> str:
    """ "colour" -> "color", "travelling" -> "traveling", "organize" -> "organise"; other words as they are."""
    if word in _SAME:
        return _SAME[word]
    for letters, pattern, replacement in _RULES:
        if letters in word:
            word = pattern.sub(replacement, word)
    return word
