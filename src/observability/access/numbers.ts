/** Times as texts, without a Date for each line. */
import { eightsOf } from "./eights.ts";
import type { Line } from "./line.ts";

const Z = 0x5a;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A thousandth of `count`, with three decimals, where a text is needed. @param count zero or more */
export function thousandths(count: number): string {
  return (Math.round(count) / 1000).toFixed(3);
}

/** Remembers what it made of the second before: lines come in the order of their times, more or less. */
function bySecond<Made>(make: (second: number) => Made): (second: number) => Made {
  let last = 0;
  let made = make(0);
  return (second) => {
    if (second !== last) {
      last = second;
      made = make(second);
    }
    return made;
  };
}

const utc = bySecond((second) => eightsOf(new Date(second * 1000).toISOString().slice(0, 20)));
const local = bySecond((second) => {
  const { day, month, year, clock, zone } = localParts(second);
  return `${day}/${MONTHS[month - 1]!}/${year}:${clock} ${zone.replace(":", "")}`;
});
const localIso = bySecond((second) => {
  const { day, month, year, clock, zone } = localParts(second);
  return `${year}-${two(month)}-${day}T${clock}${zone}`;
});

function two(number: number): string {
  return String(number).padStart(2, "0");
}

function localParts(second: number): { readonly day: string; readonly month: number; readonly year: number; readonly clock: string; readonly zone: string } {
  const at = new Date(second * 1000);
  const ahead = -at.getTimezoneOffset();
  const zone = `${ahead < 0 ? "-" : "+"}${two(Math.floor(Math.abs(ahead) / 60))}:${two(Math.abs(ahead) % 60)}`;
  return { day: two(at.getDate()), month: at.getMonth() + 1, year: at.getFullYear(), clock: `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`, zone };
}

/** `2026-07-01T12:00:01.123Z`. @param at wall-clock ms since 1970 */
export function writeIsoTime(at: number, line: Line): void {
  const second = Math.floor(at / 1000);
  line.eights(utc(second));
  line.threeDigits(Math.floor(at - second * 1000));
  line.byte(Z);
}

/** `01/Jul/2026:14:00:01 +0200`, as the Common Log Format has it. */
export function localTime(at: number): string {
  return local(Math.floor(at / 1000));
}

/** `2026-07-01T14:00:01+02:00`. */
export function localIsoTime(at: number): string {
  return localIso(Math.floor(at / 1000));
}
