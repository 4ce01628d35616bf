// Numbers, times and addresses as text.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const SHORT = ["", "k", "M", "G", "T"];

export const SEVERITIES = ["debug", "info", "warning", "error", "critical"];

export const count = (number) => whole.format(number);

export const rate = (number) => (number < 10 ? tenths : whole).format(number);

export const share = (fraction) =>
  fraction > 0 && fraction < 0.005 ? "<1 %" : `${Math.round(fraction * 100)} %`;

export const factor = (number) => `${(number < 100 ? tenths : whole).format(number)}×`;

// 12.3k: for axes, where there is little room.
export function short(number) {
  let unit = 0;
  while (number >= 1000 && unit < SHORT.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit ? Math.round(number * 10) / 10 : Math.round(number)}${SHORT[unit]}`;
}

// All times are in UTC, as the hours that are counted are.
export const clock = (iso) => iso.slice(11, 19);

export const minute = (iso) => iso.slice(11, 16);

export const day = (iso) => iso.slice(0, 10);

export const moment = (iso) => `${day(iso)} ${minute(iso)}`;

export function hourText(iso) {
  const next = (Number(iso.slice(11, 13)) + 1) % 24;
  return `${moment(iso)} to ${String(next).padStart(2, "0")}:00`;
}

// A severity that is not one of the usual ones has the colour of "info", but its own name.
export const severityClass = (severity) =>
  `severity ${SEVERITIES.includes(severity) ? severity : "other"}`;

const PARAMETERS = [
  "name",
  "severity",
  "text",
  "hour",
  "rows",
  "span",
  "message",
  "in_name",
  "in_severity",
];

// What the page shows is in its address, so that a link or a bookmark shows it again.
export function readView(search) {
  const query = new URLSearchParams(search);
  return Object.fromEntries(PARAMETERS.filter((each) => query.get(each)).map((each) => [each, query.get(each)]));
}

export function query(view) {
  const parameters = new URLSearchParams();
  for (const each of PARAMETERS) {
    if (view[each]) parameters.set(each, view[each]);
  }
  const text = parameters.toString();
  return text ? `?${text}` : "";
}
