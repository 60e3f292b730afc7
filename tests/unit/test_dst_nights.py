"""The nights on which the clocks change, zone by zone, written out by hand."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from vault_scheduler.notes.note import Document
from vault_scheduler.parsing.parser import ParseContext, parse_task
from vault_scheduler.triggers.schedule import CronTrigger, IntervalTrigger, OnceTrigger, Schedule
from vault_scheduler.triggers.zones import local_to_utc

HOUR = timedelta(hours=1)

# Below a zone and what its clocks do: expression | strictly after | the next fire times on the zone's clock | why
SPRING = """
America/New_York: 02:00 is 03:00 on 8 March 2026
30 2 * * *    | 2026-03-07 12:00-05:00 | 08 03:00-04:00, 09 02:30-04:00 | a fixed time in the gap: once, at its end
0,30 2 * * *  | 2026-03-07 12:00-05:00 | 08 03:00-04:00, 09 02:00-04:00 | two fixed times in the gap: one
30 2,3 * * *  | 2026-03-07 12:00-05:00 | 08 03:00-04:00, 08 03:30-04:00 | one in the gap, one after it
0 2,3 * * *   | 2026-03-07 12:00-05:00 | 08 03:00-04:00, 09 02:00-04:00 | one in the gap, one at its end: one
0 3 * * *     | 2026-03-07 12:00-05:00 | 08 03:00-04:00, 09 03:00-04:00 | the gap's end itself is an hour as any other
59 1 * * *    | 2026-03-07 12:00-05:00 | 08 01:59-05:00, 09 01:59-04:00 | the last minute before the gap
30 2 * * *    | 2026-03-08 01:59:59.999999-05:00 | 08 03:00-04:00 | asked a microsecond before the change
30 2 * * *    | 2026-03-08 03:00-04:00 | 09 02:30-04:00 | asked on the instant of the change
30 2 * * *    | 2026-03-08 03:00:00.000001-04:00 | 09 02:30-04:00 | asked a microsecond after the change
0 * * * *     | 2026-03-08 00:30-05:00 | 08 01:00-05:00, 08 03:00-04:00, 08 04:00-04:00 | each real hour, none for 02:00
*/15 * * * *  | 2026-03-08 01:45-05:00 | 08 03:00-04:00, 08 03:15-04:00 | a wildcard on the instant of the change
*/15 * * * *  | 2026-03-08 03:00-04:00 | 08 03:15-04:00, 08 03:30-04:00 | a wildcard asked on that instant
0 */2 * * *   | 2026-03-08 00:00-05:00 | 08 04:00-04:00, 08 06:00-04:00 | nothing stands in for a skipped second hour
* 2 * * *     | 2026-03-07 02:59-05:00 | 09 02:00-04:00, 09 02:01-04:00 | a wildcard in an hour that is not there
*/15 2 * * *  | 2026-03-07 02:45-05:00 | 09 02:00-04:00 | the same by steps
0 0-23 * * *  | 2026-03-08 00:30-05:00 | 08 01:00-05:00, 08 03:00-04:00, 08 04:00-04:00 | every hour, yet fixed
30 2 * * 1-5  | 2026-03-06 12:00-05:00 | 09 02:30-04:00 | the gap is on a Sunday, a weekday task knows nothing of it
30 2 * * SUN  | 2026-03-06 12:00-05:00 | 08 03:00-04:00, 15 02:30-04:00 | and a Sunday's does
30 2 * * 0#2  | 2026-03-06 12:00-05:00 | 08 03:00-04:00 | the second Sunday of March
Europe/Berlin: 02:00 is 03:00 on 29 March 2026
30 2 29 3 *   | 2026-03-28 12:00+01:00 | 29 03:00+02:00 | a date and a time that the year lacks
30 2 * * *    | 2026-03-29 03:00+02:00 | 30 02:30+02:00 | asked on the instant of the change
30 * * * *    | 2026-03-29 01:00+01:00 | 29 01:30+01:00, 29 03:30+02:00 | a wildcard in the gap is not made up for
0 3 * * L0    | 2026-03-28 12:00+01:00 | 29 03:00+02:00, 26 03:00+02:00 | the last Sunday, at the gap's end
Europe/London: 01:00 is 02:00 on 29 March 2026
30 1 * * *    | 2026-03-28 12:00+00:00 | 29 02:00+01:00, 30 01:30+01:00 | fixed
*/30 1-2 * * *| 2026-03-28 12:00+00:00 | 29 02:00+01:00, 29 02:30+01:00, 30 01:00+01:00 | wildcard
0 1 * * *     | 2026-03-29 02:00+01:00 | 30 01:00+01:00 | asked on the instant of the change
Europe/Dublin: 01:00 is 02:00 on 29 March 2026, the end of a winter time that is negative DST
30 1 * * *    | 2026-03-28 12:00+00:00 | 29 02:00+01:00, 30 01:30+01:00 | fixed
*/20 * * * *  | 2026-03-29 00:30+00:00 | 29 00:40+00:00, 29 02:00+01:00, 29 02:20+01:00 | wildcard
0 1 * * *     | 2026-03-29 02:00+01:00 | 30 01:00+01:00 | asked on the instant of the change
Australia/Lord_Howe: 02:00 is 02:30 on 4 October 2026
15 2 * * *    | 2026-10-03 12:00+10:30 | 04 02:30+11:00, 05 02:15+11:00 | fixed
45 2 * * *    | 2026-10-03 12:00+10:30 | 04 02:45+11:00, 05 02:45+11:00 | fixed in the half that is there
*/20 * * * *  | 2026-10-04 01:30+10:30 | 04 01:40+10:30, 04 02:40+11:00, 04 03:00+11:00 | wildcard
*/15 * * * *  | 2026-10-04 01:45+10:30 | 04 02:30+11:00, 04 02:45+11:00 | a wildcard on the instant of the change
0 */2 * * *   | 2026-10-04 00:30+10:30 | 04 04:00+11:00 | no 02:00
0,15 2 * * *  | 2026-10-04 02:30+11:00 | 05 02:00+11:00 | asked on the instant of the change
Antarctica/Troll: 01:00 is 03:00 on 29 March 2026
30 1,2 * * *  | 2026-03-28 12:00+00:00 | 29 03:00+02:00, 30 01:30+02:00 | two hours of fixed times: one
0 * * * *     | 2026-03-29 00:00+00:00 | 29 03:00+02:00, 29 04:00+02:00 | wildcard
59 2 * * *    | 2026-03-29 03:00+02:00 | 30 02:59+02:00 | asked on the instant of the change
America/Havana: midnight is 01:00 on 8 March 2026
0 0 * * *     | 2026-03-07 12:00-05:00 | 08 01:00-04:00, 09 00:00-04:00 | no midnight
@daily        | 2026-03-08 01:00-04:00 | 09 00:00-04:00 | asked on the instant of the change
@hourly       | 2026-03-07 23:00-05:00 | 08 01:00-04:00 | wildcard
*/30 0 * * *  | 2026-03-07 12:00-05:00 | 09 00:00-04:00, 09 00:30-04:00 | a wildcard in an hour that is not there
0 0 8 * *     | 2026-03-07 12:00-05:00 | 08 01:00-04:00 | the day's first instant
Asia/Beirut: midnight is 01:00 on 29 March 2026
@daily        | 2026-03-28 12:00+02:00 | 29 01:00+03:00, 30 00:00+03:00 | no midnight
*/40 * * * *  | 2026-03-28 23:00+02:00 | 28 23:40+02:00, 29 01:00+03:00, 29 01:40+03:00 | wildcard
0 0,1 * * *   | 2026-03-28 23:30+02:00 | 29 01:00+03:00, 30 00:00+03:00 | one in the gap, one at its end: one
@weekly       | 2026-03-29 01:00+03:00 | 05 00:00+03:00 | asked on the instant of the change
America/Sao_Paulo: midnight was 01:00 on 4 November 2018
30 0 * * *    | 2018-11-03 12:00-03:00 | 04 01:00-02:00, 05 00:30-02:00 | fixed
* 0 * * *     | 2018-11-03 00:59-03:00 | 05 00:00-02:00 | wildcard
0 0 * * 0     | 2018-11-04 01:00-02:00 | 11 00:00-02:00 | asked on the instant of the change
Africa/Cairo: midnight is 01:00 on 24 April 2026
0 0 * * FRI   | 2026-04-23 12:00+02:00 | 24 01:00+03:00, 01 00:00+03:00 | fixed
*/20 * * * *  | 2026-04-23 23:20+02:00 | 23 23:40+02:00, 24 01:00+03:00 | wildcard
15 0 * * *    | 2026-04-24 01:00+03:00 | 25 00:15+03:00 | asked on the instant of the change
Atlantic/Azores: midnight is 01:00 on 29 March 2026
0 0 * * *     | 2026-03-28 12:00-01:00 | 29 01:00+00:00, 30 00:00+00:00 | fixed
0 */3 * * *   | 2026-03-28 21:00-01:00 | 29 03:00+00:00, 29 06:00+00:00 | wildcard
59 0 * * *    | 2026-03-29 01:00+00:00 | 30 00:59+00:00 | asked on the instant of the change
America/St_Johns: 00:01 was 01:01 on 14 March 2010
0 0 14 3 *    | 2010-03-13 12:00-03:30 | 14 00:00-03:30 | a midnight that is there
1 0 * * *     | 2010-03-13 12:00-03:30 | 14 01:01-02:30, 15 00:01-02:30 | fixed
* * * * *     | 2010-03-13 23:59-03:30 | 14 00:00-03:30, 14 01:01-02:30, 14 01:02-02:30 | wildcard
Pacific/Chatham: 02:45 is 03:45 on 27 September 2026
0 3 * * *     | 2026-09-26 12:00+12:45 | 27 03:45+13:45, 28 03:00+13:45 | fixed
*/15 * * * *  | 2026-09-27 02:15+12:45 | 27 02:30+12:45, 27 03:45+13:45, 27 04:00+13:45 | wildcard
45 2 * * *    | 2026-09-27 03:45+13:45 | 28 02:45+13:45 | asked on the instant of the change
Africa/Casablanca: 02:00 is 03:00 on 22 March 2026, after Ramadan
15 2 * * *    | 2026-03-21 12:00+00:00 | 22 03:00+01:00, 23 02:15+01:00 | fixed
15 */2 * * *  | 2026-03-22 00:00+00:00 | 22 00:15+00:00, 22 04:15+01:00 | wildcard
0 2 * * *     | 2026-03-22 03:00+01:00 | 23 02:00+01:00 | asked on the instant of the change
Asia/Pyongyang: 23:30 was midnight on 4 May 2018
45 23 * * *   | 2018-05-04 12:00+08:30 | 05 00:00+09:00, 05 23:45+09:00 | fixed, on the day after
*/10 * * * *  | 2018-05-04 23:15+08:30 | 04 23:20+08:30, 05 00:00+09:00, 05 00:10+09:00 | wildcard
45 23 * * 5   | 2018-05-04 12:00+08:30 | 05 00:00+09:00, 11 23:45+09:00 | Friday's time falls on Saturday
0 0 * * *     | 2018-05-05 00:00+09:00 | 06 00:00+09:00 | asked on the instant of the change
Asia/Kathmandu: midnight was 00:15 on 1 January 1986
5 0 * * *     | 1985-12-31 12:00+05:30 | 01 00:15+05:45, 02 00:05+05:45 | fixed
*/10 * * * *  | 1985-12-31 23:50+05:30 | 01 00:20+05:45 | wildcard
America/Caracas: 02:30 was 03:00 on 1 May 2016
45 2 * * *    | 2016-04-30 12:00-04:30 | 01 03:00-04:00, 02 02:45-04:00 | fixed
*/15 * * * *  | 2016-05-01 02:00-04:30 | 01 02:15-04:30, 01 03:00-04:00 | wildcard
Antarctica/Casey: 04:00 was 07:00 on 7 October 2018: three hours still count as a change of the clocks
0 5 * * *     | 2018-10-06 12:00+08:00 | 07 07:00+11:00, 08 05:00+11:00 | fixed
*/30 4-7 * * *| 2018-10-06 12:00+08:00 | 07 07:00+11:00, 07 07:30+11:00, 08 04:00+11:00 | wildcard
Pacific/Apia: 30 December 2011 is missing: a whole day is no change of the clocks, nothing fires for it
30 9 * * *    | 2011-12-29 08:00-10:00 | 29 09:30-10:00, 31 09:30+14:00 | fixed
0 0 * * *     | 2011-12-29 00:00-10:00 | 31 00:00+14:00, 01 00:00+14:00 | fixed, at the first instant of the 31st
0 */12 * * *  | 2011-12-29 11:00-10:00 | 29 12:00-10:00, 31 00:00+14:00, 31 12:00+14:00 | wildcard
30 * * * *    | 2011-12-29 23:00-10:00 | 29 23:30-10:00, 31 00:30+14:00 | wildcard, in real time
0 9 * * FRI   | 2011-12-29 12:00-10:00 | 06 09:00+14:00 | the Friday that never was
@daily        | 2011-12-31 00:00+14:00 | 01 00:00+14:00 | asked on the instant of the change
Pacific/Kwajalein: 21 August 1993 is missing
0 12 * * *    | 1993-08-20 11:00-12:00 | 20 12:00-12:00, 22 12:00+12:00 | fixed
0 */6 * * *   | 1993-08-20 17:00-12:00 | 20 18:00-12:00, 22 00:00+12:00, 22 06:00+12:00 | wildcard
0 12 * * SAT  | 1993-08-20 11:00-12:00 | 28 12:00+12:00 | the Saturday that never was
"""

AUTUMN = """
America/New_York: 02:00 is 01:00 again on 1 November 2026
30 1 * * *    | 2026-10-31 12:00-04:00 | 01 01:30-04:00, 02 01:30-05:00 | a fixed time that exists twice: the first
0 1 * * *     | 2026-10-31 12:00-04:00 | 01 01:00-04:00, 02 01:00-05:00 | the first minute that exists twice
0 2 * * *     | 2026-10-31 12:00-04:00 | 01 02:00-05:00, 02 02:00-05:00 | the first minute that does not
30 1 * * *    | 2026-11-01 01:10-05:00 | 02 01:30-05:00 | asked in the second pass, before that time of day
30 1 * * *    | 2026-11-01 01:40-05:00 | 02 01:30-05:00 | and after it
0 1 * * *     | 2026-11-01 01:59:59.999999-04:00 | 02 01:00-05:00 | asked a microsecond before the change
0 1 * * *     | 2026-11-01 01:00-05:00 | 02 01:00-05:00 | asked on the instant of the change
0 1-4 * * *   | 2026-11-01 00:30-04:00 | 01 01:00-04:00, 01 02:00-05:00, 01 03:00-05:00 | a list: the hour once
10 1,2,3 * * *| 2026-11-01 01:20-04:00 | 01 02:10-05:00, 01 03:10-05:00 | from the first pass over the second one
0 0-23 * * *  | 2026-11-01 00:30-04:00 | 01 01:00-04:00, 01 02:00-05:00 | every hour, yet fixed: a real hour without one
0 * * * *     | 2026-11-01 00:30-04:00 | 01 01:00-04:00, 01 01:00-05:00, 01 02:00-05:00 | every real hour
*/30 1 * * *  | 2026-11-01 01:30-04:00 | 01 01:00-05:00, 01 01:30-05:00, 02 01:00-05:00 | a wildcard in both passes
*/30 1 * * *  | 2026-11-01 01:00-05:00 | 01 01:30-05:00, 02 01:00-05:00 | asked on the instant of the change
30 * * * *    | 2026-11-01 01:29:59.999999-05:00 | 01 01:30-05:00, 01 02:30-05:00 | asked in the second pass
0 */2 * * *   | 2026-11-01 00:00-04:00 | 01 02:00-05:00, 01 04:00-05:00 | three real hours between 00:00 and 02:00
Europe/Berlin: 03:00 is 02:00 again on 25 October 2026
30 2 * * *    | 2026-10-24 12:00+02:00 | 25 02:30+02:00, 26 02:30+01:00 | fixed
0 2 * * *     | 2026-10-24 12:00+02:00 | 25 02:00+02:00, 26 02:00+01:00 | the first minute that exists twice
0 3 * * *     | 2026-10-24 12:00+02:00 | 25 03:00+01:00, 26 03:00+01:00 | the first that does not
30 2 * * *    | 2026-10-25 02:15+01:00 | 26 02:30+01:00 | asked in the second pass
*/30 2 * * *  | 2026-10-25 02:15+02:00 | 25 02:30+02:00, 25 02:00+01:00, 25 02:30+01:00 | wildcard
*/30 2 * * *  | 2026-10-25 02:00+01:00 | 25 02:30+01:00, 26 02:00+01:00 | asked on the instant of the change
Europe/London: 02:00 is 01:00 again on 25 October 2026
59 1 * * 0    | 2026-10-24 12:00+01:00 | 25 01:59+01:00, 01 01:59+00:00 | fixed
59 1 * * *    | 2026-10-25 01:00+00:00 | 26 01:59+00:00 | asked on the instant of the change
*/30 * * * *  | 2026-10-25 01:10+00:00 | 25 01:30+00:00, 25 02:00+00:00 | a wildcard, asked in the second pass
Europe/Dublin: 02:00 is 01:00 again on 25 October 2026
30 1 * * *    | 2026-10-24 12:00+01:00 | 25 01:30+01:00, 26 01:30+00:00 | fixed
30 1 * * *    | 2026-10-25 01:05+00:00 | 26 01:30+00:00 | asked in the second pass
30 * * * *    | 2026-10-25 00:45+01:00 | 25 01:30+01:00, 25 01:30+00:00, 25 02:30+00:00 | wildcard
Australia/Lord_Howe: 02:00 is 01:30 again on 5 April 2026
45 1 * * *    | 2026-04-04 12:00+11:00 | 05 01:45+11:00, 06 01:45+10:30 | fixed
15 1 * * *    | 2026-04-05 01:00+11:00 | 05 01:15+11:00, 06 01:15+10:30 | fixed in the half that exists once
45 1 * * *    | 2026-04-05 01:40+10:30 | 06 01:45+10:30 | asked in the second pass
25,46 * * * * | 2026-04-05 01:30+11:00 | 05 01:46+11:00, 05 01:46+10:30, 05 02:25+10:30 | wildcard: what repeats
*/30 * * * *  | 2026-04-05 01:30+11:00 | 05 01:30+10:30, 05 02:00+10:30 | a wildcard on the instant of the change
Antarctica/Troll: 03:00 is 01:00 again on 25 October 2026
15 1,2 * * *  | 2026-10-25 00:00+02:00 | 25 01:15+02:00, 25 02:15+02:00, 26 01:15+00:00 | two hours of fixed times: once
15 1,2 * * *  | 2026-10-25 01:30+00:00 | 26 01:15+00:00, 26 02:15+00:00 | asked in the second pass
*/30 1 * * *  | 2026-10-25 01:00+02:00 | 25 01:30+02:00, 25 01:00+00:00, 25 01:30+00:00 | wildcard
America/Havana: 01:00 is midnight again on 1 November 2026
0 0 * * *     | 2026-10-31 12:00-04:00 | 01 00:00-04:00, 02 00:00-05:00 | midnight comes twice
0 0 * * *     | 2026-11-01 00:00-05:00 | 02 00:00-05:00 | asked on the instant of the change, a midnight itself
@hourly       | 2026-11-01 00:00-04:00 | 01 00:00-05:00, 01 01:00-05:00 | wildcard
45 0 * * *    | 2026-11-01 00:30-05:00 | 02 00:45-05:00 | asked in the second pass
Asia/Beirut: midnight is 23:00 again, on 24 October 2026
30 23 * * *   | 2026-10-24 12:00+03:00 | 24 23:30+03:00, 25 23:30+02:00 | fixed
0 0 * * *     | 2026-10-24 12:00+03:00 | 25 00:00+02:00, 26 00:00+02:00 | midnight comes after both
0 23 * * *    | 2026-10-24 23:00+02:00 | 25 23:00+02:00 | asked on the instant of the change
30 23 * * SAT | 2026-10-24 23:15+02:00 | 31 23:30+02:00 | asked in the second pass
*/20 23 * * * | 2026-10-24 23:40+03:00 | 24 23:00+02:00, 24 23:20+02:00, 24 23:40+02:00 | wildcard
America/Sao_Paulo: midnight was 23:00 again, on 17 February 2018
0 0 * * 0     | 2018-02-17 12:00-02:00 | 18 00:00-03:00, 25 00:00-03:00 | midnight comes after both
59 23 * * *   | 2018-02-17 12:00-02:00 | 17 23:59-02:00, 18 23:59-03:00 | fixed
59 23 * * *   | 2018-02-17 23:30-03:00 | 18 23:59-03:00 | asked in the second pass
0 */23 * * *  | 2018-02-17 12:00-02:00 | 17 23:00-02:00, 17 23:00-03:00, 18 00:00-03:00 | wildcard
Africa/Cairo: midnight is 23:00 again, on 29 October 2026
15 23 * * *   | 2026-10-29 12:00+03:00 | 29 23:15+03:00, 30 23:15+02:00 | fixed
15 23 * * *   | 2026-10-29 23:00+02:00 | 30 23:15+02:00 | asked on the instant of the change
15 * * * *    | 2026-10-29 22:30+03:00 | 29 23:15+03:00, 29 23:15+02:00, 30 00:15+02:00 | wildcard
Atlantic/Azores: 01:00 is midnight again on 25 October 2026
30 0 * * *    | 2026-10-24 12:00+00:00 | 25 00:30+00:00, 26 00:30-01:00 | fixed
@daily        | 2026-10-25 00:10-01:00 | 26 00:00-01:00 | asked in the second pass
*/30 0 * * *  | 2026-10-25 00:30+00:00 | 25 00:00-01:00, 25 00:30-01:00, 26 00:00-01:00 | wildcard
America/St_Johns: 00:01 was 23:01 again, on 6 November 2010
0 0 * * *     | 2010-11-06 12:00-02:30 | 07 00:00-02:30, 08 00:00-03:30 | midnight was there before
30 23 * * *   | 2010-11-06 12:00-02:30 | 06 23:30-02:30, 07 23:30-03:30 | fixed
* 0 * * *     | 2010-11-06 23:59-02:30 | 07 00:00-02:30, 07 00:00-03:30, 07 00:01-03:30 | wildcard
Pacific/Chatham: 03:45 is 02:45 again on 5 April 2026
0 3 * * *     | 2026-04-04 12:00+13:45 | 05 03:00+13:45, 06 03:00+12:45 | fixed
0 3 * * *     | 2026-04-05 02:50+12:45 | 06 03:00+12:45 | asked in the second pass
0 * * * *     | 2026-04-05 02:30+13:45 | 05 03:00+13:45, 05 03:00+12:45, 05 04:00+12:45 | wildcard
Africa/Casablanca: 03:00 is 02:00 again on 15 February 2026, before Ramadan
30 2 * * *    | 2026-02-14 12:00+01:00 | 15 02:30+01:00, 16 02:30+00:00 | fixed
30 2 * * *    | 2026-02-15 02:00+00:00 | 16 02:30+00:00 | asked on the instant of the change
*/45 2 * * *  | 2026-02-15 02:10+01:00 | 15 02:45+01:00, 15 02:00+00:00, 15 02:45+00:00 | wildcard
Asia/Pyongyang: midnight was 23:30 again, on 14 August 2015
40 23 * * *   | 2015-08-14 12:00+09:00 | 14 23:40+09:00, 15 23:40+08:30 | fixed
40 23 * * *   | 2015-08-14 23:35+08:30 | 15 23:40+08:30 | asked in the second pass
0 0 15 8 *    | 2015-08-14 23:59+09:00 | 15 00:00+08:30 | the midnight that they postponed
*/12 23 * * * | 2015-08-14 23:36+09:00 | 14 23:48+09:00, 14 23:36+08:30, 14 23:48+08:30 | wildcard
America/Caracas: 03:00 was 02:30 again on 9 December 2007
45 2 * * *    | 2007-12-08 12:00-04:00 | 09 02:45-04:00, 10 02:45-04:30 | fixed
45 * * * *    | 2007-12-09 02:30-04:00 | 09 02:45-04:00, 09 02:45-04:30, 09 03:45-04:30 | wildcard
Antarctica/Casey: 04:00 was 01:00 again on 11 March 2018
30 1,3 * * *  | 2018-03-10 12:00+11:00 | 11 01:30+11:00, 11 03:30+11:00, 12 01:30+08:00 | three hours: once
30 1,3 * * *  | 2018-03-11 03:00+08:00 | 12 01:30+08:00 | asked in the second pass
30 */3 * * *  | 2018-03-11 01:00+11:00 | 11 03:30+11:00, 11 03:30+08:00, 11 06:30+08:00 | wildcard
Pacific/Apia: 04:00 was 03:00 again on 2 April 2011
30 3 * * *    | 2011-04-01 12:00-10:00 | 02 03:30-10:00, 03 03:30-11:00 | fixed
30 3 * * *    | 2011-04-02 03:10-11:00 | 03 03:30-11:00 | asked in the second pass
*/30 3 * * *  | 2011-04-02 03:10-10:00 | 02 03:30-10:00, 02 03:00-11:00, 02 03:30-11:00 | wildcard
"""


class Case(NamedTuple):
    """One question to a cron trigger."""

    zone: str
    expression: str
    after: str
    expected: str
    why: str


def cases(table: str) -> list[Case]:
    found, zone = [], ""
    for line in table.strip().splitlines():
        if "|" in line:
            expression, after, expected, why = re.split(r"\s*\|\s*", line)
            found.append(Case(zone, expression, after, expected, why))
        else:
            zone = line.partition(":")[0]
    return found


CASES = {"spring": cases(SPRING), "autumn": cases(AUTUMN)}
NAMED = [
    pytest.param(case, id=f"{case.zone}, {night}: {case.expression}: {case.why}")
    for night in CASES
    for case in CASES[night]
]


def on_the_clock(instant: datetime, zone: ZoneInfo) -> str:
    local = instant.astimezone(zone)
    return f"{local:%d %H:%M}{local.isoformat()[19:]}"


@pytest.mark.parametrize("case", NAMED)
def test_cron_follows_debians_rule_when_the_clocks_change(case: Case) -> None:
    """Fixed times fire once on both nights; wildcards in real time; nothing is invented, nothing lost."""
    zone, moment = ZoneInfo(case.zone), datetime.fromisoformat(case.after)
    trigger, found = CronTrigger(case.expression, zone), []
    for _ in case.expected.split(", "):
        following = trigger.next_after(moment)
        assert following is not None
        assert following.tzinfo is UTC
        assert moment < following < moment + timedelta(days=30)  # so that the day of the month says it all
        found.append(on_the_clock(following, zone))
        moment = following
    assert ", ".join(found) == case.expected


def test_the_tables_show_both_kinds_on_both_nights_in_many_zones() -> None:
    """Each zone with a fixed and a wildcard expression; at least twelve of them in spring and in autumn."""
    for table in CASES.values():
        kinds = {(case.zone, CronTrigger(case.expression, ZoneInfo(case.zone)).cron.wildcard) for case in table}
        zones = {zone for zone, _ in kinds}
        assert len(zones) >= 12
        assert kinds == {(zone, wildcard) for zone in zones for wildcard in (False, True)}


def test_a_date_that_a_zone_left_out_comes_a_year_later() -> None:
    """There was no 30 December 2011 in Apia, and no 29 February either."""
    apia = ZoneInfo("Pacific/Apia")
    december = CronTrigger("0 0 30 12 *", apia).next_after(datetime(2011, 12, 1, tzinfo=UTC))
    assert december == datetime(2012, 12, 29, 10, tzinfo=UTC)


# zone, local time as `at` or `start` say it, the instant, why
LOCAL_TIMES = [
    ("America/New_York", "2026-03-08 02:00", "2026-03-08 07:00", "the first minute of the gap"),
    ("America/New_York", "2026-03-08 02:59:59", "2026-03-08 07:00", "its last second"),
    ("America/New_York", "2026-11-01 01:30", "2026-11-01 05:30", "twice: the first"),
    ("America/Havana", "2026-03-08 00:00", "2026-03-08 05:00", "a date whose midnight is missing"),
    ("America/Havana", "2026-11-01 00:00", "2026-11-01 04:00", "a date whose midnight comes twice"),
    ("Asia/Beirut", "2026-10-24 23:30", "2026-10-24 20:30", "the evening before, twice"),
    ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45", "half an hour twice"),
    ("Antarctica/Troll", "2026-03-29 02:15", "2026-03-29 01:00", "two hours' gap"),
    ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00", "a day that never was"),
    ("Pacific/Chatham", "2026-09-27 03:00", "2026-09-26 14:00", "a quarter to three"),
    ("Asia/Pyongyang", "2015-08-14 23:45", "2015-08-14 14:45", "a new offset for good"),
    ("Africa/Casablanca", "2026-03-22 02:30", "2026-03-22 02:00", "after Ramadan"),
]


@pytest.mark.parametrize(("zone", "local", "instant", "_why"), LOCAL_TIMES, ids=[f"{c[0]} {c[3]}" for c in LOCAL_TIMES])
def test_a_one_shot_and_a_start_happen_once_on_such_nights(zone: str, local: str, instant: str, _why: str) -> None:
    """In a gap: the first instant after it; shown twice: the first. An interval counts its periods from there."""
    moment = local_to_utc(datetime.fromisoformat(local), ZoneInfo(zone))
    expected = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert list(Schedule((OnceTrigger((moment,)),)).fires(expected - 48 * HOUR, expected + 48 * HOUR)) == [expected]
    hourly = Schedule((IntervalTrigger(HOUR, moment),), start=moment)
    assert list(hourly.fires(expected - HOUR, expected + 2 * HOUR)) == [expected, expected + HOUR, expected + 2 * HOUR]


INTERVALS = [
    # zone, period in minutes, start, until the clocks are past the change, fire times on the clock
    ("America/New_York", 60, "2026-03-08 00:00", 4, "00:00-05:00 01:00-05:00 03:00-04:00 04:00-04:00"),
    ("America/New_York", 60, "2026-11-01 00:00", 4, "00:00-04:00 01:00-04:00 01:00-05:00 02:00-05:00"),
    ("America/New_York", 1440, "2026-03-07 12:00", 2, "12:00-05:00 13:00-04:00"),
    ("Australia/Lord_Howe", 20, "2026-04-05 01:20", 5, "01:20+11:00 01:40+11:00 01:30+10:30 01:50+10:30 02:10+10:30"),
    ("Antarctica/Troll", 90, "2026-03-29 00:00", 3, "00:00+00:00 03:30+02:00 05:00+02:00"),
    ("Pacific/Apia", 720, "2011-12-29 06:00", 4, "06:00-10:00 18:00-10:00 06:00+14:00 18:00+14:00"),
]


@pytest.mark.parametrize(("zone", "period", "start", "count", "expected"), INTERVALS)
def test_every_is_elapsed_time_whatever_the_clocks_show(
    zone: str, period: int, start: str, count: int, expected: str
) -> None:
    """A day of `every: 24h` is 24 hours, also where the day has 23 or 25, or is missing."""
    anchor = local_to_utc(datetime.fromisoformat(start), ZoneInfo(zone))
    length = timedelta(minutes=period)
    fires = list(Schedule((IntervalTrigger(length, anchor),)).fires(anchor - length, anchor + (count - 1) * length))
    assert " ".join(on_the_clock(fire, ZoneInfo(zone))[3:] for fire in fires) == expected


# keys of a note (with its zone), strictly after and up to, the fire times on the clock
NOTES = [
    ("Europe/Berlin", "at: 2026-03-29T02:30", "2026-03-01 2026-04-01", "03:00+02:00"),
    ("Europe/Berlin", "at: [2026-03-29T02:10, 2026-03-29T02:50]", "2026-03-01 2026-04-01", "03:00+02:00"),
    ("Europe/Berlin", "at: 2026-10-25T02:30", "2026-10-01 2026-11-01", "02:30+02:00"),
    ("Europe/Berlin", "every: 30m, start: 2026-03-29T02:15", "2026-03-29 2026-03-29T01:59", "03:00+02:00 03:30+02:00"),
    ("America/Havana", "cron: 0 0 * * *, start: 2026-03-08", "2026-03-07 2026-03-10", "01:00-04:00 00:00-04:00"),
    ("America/Havana", "cron: 0 0 * * *, until: 2026-03-07", "2026-03-07 2026-03-09", "00:00-05:00"),
    ("America/Havana", "cron: 0 * * * *, until: 2026-10-31", "2026-11-01T02:30 2026-11-02", "23:00-04:00"),
    ("America/Sao_Paulo", "cron: 0 23 * * *, until: 2018-02-17", "2018-02-17T12:00 2018-02-20", "23:00-02:00"),
    ("America/Sao_Paulo", 'cron: "*/59 23 * * *", until: 2018-02-17', "2018-02-18T01:30 2018-02-20",
     "23:59-02:00 23:00-03:00 23:59-03:00"),
    ("Pacific/Apia", "every: 6h, start: 2011-12-30", "2011-12-29 2011-12-31", "00:00+14:00 06:00+14:00 12:00+14:00"),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "keys", "span", "expected"), NOTES, ids=[f"{c[0]} {c[1]}" for c in NOTES])
def test_a_note_says_such_times_and_bounds_as_people_do(zone: str, keys: str, span: str, expected: str) -> None:
    """A bound in the gap is its end, one that is shown twice the first; a last day ends when it is over."""
    properties = re.sub(r", (?=[a-z])", "\n", keys)
    text = f"---\ntype: command\ncommand: date\ntimezone: {zone}\n{properties}\n---\n"
    parsed = parse_task(Document.parse(text.encode()), "00_system/tasks/night.md", ParseContext(default_timezone="UTC"))
    assert parsed.task is not None, parsed.problems
    after, upto = (datetime.fromisoformat(bound).replace(tzinfo=UTC) for bound in span.split())
    fires = parsed.task.schedule.fires(after, upto)
    assert " ".join(on_the_clock(fire, ZoneInfo(zone))[3:] for fire in fires) == expected
