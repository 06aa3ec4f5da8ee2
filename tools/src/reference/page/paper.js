// Everything on one page, to print or to search with the browser: the tables that the other views
// show one at a time, without what can only be used on a screen.

// A format as a picture and a table.
function format(title, rows, bytes) {
  const cells = rows.map((row) => [placeOf(row), row.name ? code(row.name) : "reserved", row.name ? meaningOf(row) : "", row.needs ?? ""]);
  return h("section", null, h("h3", null, title), diagram(rows, bytes), table(["Bits", "Name", "Meaning", "Needs"], cells));
}

const meaningOf = (row) => row.meaning + (row.values.length ? `: ${row.values.map(([of, what]) => `${of} ${what}`).join(", ")}` : "");

// Formats, each once: `things` have a name and rows, and those that are alike stand together.
function formats(things) {
  const alike = new Map();
  for (const { name, rows, bytes } of things.filter(({ rows }) => rows.length)) {
    const key = JSON.stringify(rows.map(({ name, high, low, meaning }) => [name, high, low, meaning]));
    const same = alike.get(key);
    if (same) same.names.push(name);
    else alike.set(key, { names: [name], rows, bytes });
  }
  return [...alike.values()].map(({ names, rows, bytes }) => format(shortened(names), rows, bytes));
}

// Sixteen control registers are told by the first and the last.
const shortened = (names) => (names.length > 8 ? `${names[0]} to ${names.at(-1)}` : names.join(", "));

function allView() {
  const infos = data.exits.flatMap((exit) => [
    { name: `EXITINFO1 of ${exit.apm}`, rows: exit.info1_bits, bytes: 8 },
    { name: `EXITINFO2 of ${exit.apm}`, rows: exit.info2_bits, bytes: 8 },
  ]);
  return [
    h("h1", null, "SVM, all of it"),
    h("p", { class: "screen" }, "For paper, or for the browser's own search. ", data.source, "."),
    mapView().slice(1),
    fieldsView().slice(1),
    h("h2", null, "Formats of fields"),
    formats(data.fields.map((field) => ({ name: `${offsetName(field.offset)} ${field.name}`, rows: field.bits, bytes: field.bytes }))),
    h("h2", null, "Exits"),
    exitsView().slice(1),
    h("h2", null, "Formats of EXITINFO1 and EXITINFO2"),
    formats(infos),
    otherView().slice(1),
    h("h2", null, "Formats of MSRs and of CPUID leaf 8000_000Ah"),
    formats(data.msrs.map((msr) => ({ name: `${msr.name} (${msr.number})`, rows: msr.bits, bytes: 8 }))),
    formats(data.cpuid.map((row) => ({ name: row.register, rows: row.bits, bytes: 4 }))),
  ];
}
