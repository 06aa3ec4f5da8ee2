// What the page shows: one function a view, each makes elements of the data.

// An element; text is text, never markup.
function h(tag, attributes, ...children) {
  const isSvg = ["svg", "rect", "text", "g", "title"].includes(tag) || attributes?.svg;
  const element = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key === "svg" || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

const code = (text) => h("code", null, text);
const link = (href, text) => h("a", { href }, text);

function table(headings, rows) {
  return h("div", { class: "scroll" },
    h("table", null,
      h("thead", null, h("tr", null, headings.map((heading) => h("th", { scope: "col" }, heading)))),
      h("tbody", null, rows.map((row) => h("tr", null, row.map((cell, column) => h("td", { "data-label": headings[column] }, cell)))))));
}

function facts(pairs) {
  const kept = pairs.filter(([, value]) => value !== null && value !== "" && value?.length !== 0);
  return h("dl", null, kept.map(([term, value]) => [h("dt", null, term), h("dd", null, value)]));
}

const flowClass = (field) =>
  field.reserved ? "none" : { VMM: "request", "#VMEXIT": "answer", VMRUN: "answer", "VMM, #VMEXIT": "exchange", "VMM, VMSAVE": "carried" }[field.written_by] ?? "none";

// ---- the map -----------------------------------------------------------------------------

const PER_ROW = 64;
const CELL = 12;
const MARGIN = 30;
const LETTER = 5.2;

// As much of a name as fits; a piece too short to tell anything is left out.
function fitting(name, width) {
  const letters = Math.floor((width - 5) / LETTER);
  if (name.length <= letters) return name;
  return letters < 4 ? null : `${name.slice(0, letters - 1)}…`;
}

function mapView() {
  const legend = [["request", "the VMM writes"], ["answer", "the CPU writes"], ["exchange", "both write"], ["carried", "VMSAVE writes"], ["none", "reserved"]];
  const marked = data.fields.map((field) => {
    const rects = [];
    for (let at = field.offset; at < field.offset + field.bytes; ) {
      const end = Math.min(field.offset + field.bytes, (Math.floor(at / PER_ROW) + 1) * PER_ROW);
      rects.push(h("rect", {
        x: MARGIN + (at % PER_ROW) * CELL + 0.5, y: Math.floor(at / PER_ROW) * CELL + 0.5,
        width: (end - at) * CELL - 1, height: CELL - 1, class: flowClass(field),
      }));
      at = end;
    }
    const width = Math.min(field.bytes, PER_ROW - (field.offset % PER_ROW)) * CELL;
    const shown = field.reserved ? null : fitting(field.name, width);
    const name = shown && h("text", { x: MARGIN + (field.offset % PER_ROW) * CELL + 3, y: Math.floor(field.offset / PER_ROW) * CELL + 8 }, shown);
    const label = `${offsetName(field.offset)} ${field.reserved ? "reserved" : field.name}, ${field.bytes} bytes`;
    return h("a", { svg: true, href: `#f/${field.name}`, "aria-label": label, tabindex: field.reserved ? "-1" : "0" }, h("title", null, label), rects, name ?? []);
  });
  const rows = PER_ROW * CELL;
  const offsets = Array.from({ length: 4096 / PER_ROW / 2 }, (_, row) =>
    h("text", { class: "offset", x: MARGIN - 4, y: 2 * row * CELL + 9, "text-anchor": "end" }, offsetName(2 * row * PER_ROW)));
  return [
    h("h1", null, "The VMCB, byte by byte"),
    h("p", null, "4,096 bytes, 64 a row: the control area in the upper quarter, the save area below. Each field is a link."),
    h("p", { class: "legend" }, legend.map(([name, text]) => h("span", null, h("i", { class: name }), text))),
    h("div", { class: "scroll" },
      h("svg", { class: "map", viewBox: `0 0 ${MARGIN + PER_ROW * CELL} ${rows}`, role: "group", "aria-label": "Map of the VMCB" }, offsets, marked)),
  ];
}

// ---- bits --------------------------------------------------------------------------------

// A picture of a format, 32 bits a row, the highest left.
function diagram(rows, bytes) {
  const bits = 8 * bytes;
  const perRow = Math.min(32, bits);
  const width = 24;
  const lines = Math.ceil(bits / perRow);
  // Names of narrow boxes stand upright; the longest of them decides the height.
  const isUpright = (name, span) => name.length * 6.4 > span - 4;
  const longest = Math.max(4, ...rows.filter((row) => isUpright(row.name ?? "", (row.high - row.low + 1) * width)).map((row) => row.name.length));
  const tall = longest * 6.4 + 10;
  const pitch = tall + 20;
  const boxes = [];
  for (const row of rows) {
    for (let low = row.low; low <= row.high; ) {
      const line = Math.floor(low / perRow);
      const high = Math.min(row.high, (line + 1) * perRow - 1);
      const x = ((line + 1) * perRow - 1 - high) * width;
      const y = (lines - 1 - line) * pitch;
      const span = (high - low + 1) * width;
      const name = row.name ?? "";
      boxes.push(h("g", null,
        h("title", null, `${placeOf(row)} ${row.name ?? "reserved"}: ${row.meaning}`),
        h("rect", { x: x + 0.5, y: y + 16, width: span - 1, height: tall, class: row.name ? "named" : "none" }),
        h("text", { x: x + 3, y: y + 11, class: "number" }, `${high}`),
        name && h("text", isUpright(name, span)
          ? { transform: `translate(${x + span / 2 + 4} ${y + tall + 11}) rotate(-90)` }
          : { x: x + span / 2, y: y + 20 + tall / 2, "text-anchor": "middle" }, name)));
      low = high + 1;
    }
  }
  return h("div", { class: "scroll" },
    h("svg", { class: "diagram", viewBox: `0 0 ${perRow * width} ${lines * pitch}`, style: `min-width:${perRow * 18}px;max-width:${perRow * 30}px`, role: "img", "aria-label": "Bit diagram" }, boxes));
}

// A format with a value in it: paste the value and see the bits, set the bits and see the value.
function editor(rows, bytes, start) {
  if (rows.length === 0) return null;
  let value = start ?? 0n;
  const input = h("input", { type: "text", class: "value", spellcheck: "false", autocomplete: "off", "aria-label": "Value", value: hex(value, bytes) });
  const said = h("output", { class: "said" });
  const controls = rows.map((row) => {
    const set = (part) => {
      const mask = maskOf(row.high - row.low + 1);
      value = (value & ~(mask << BigInt(row.low))) | ((part & mask) << BigInt(row.low));
      input.value = hex(value, bytes);
      show(false);
    };
    let control;
    const label = row.name ?? `reserved ${placeOf(row)}`;
    if (row.high === row.low) {
      control = h("input", { type: "checkbox", "aria-label": label, onchange: () => set(control.checked ? 1n : 0n) });
    } else {
      control = h("input", { type: "text", size: "10", spellcheck: "false", "aria-label": label, oninput: () => {
        const part = number(control.value);
        if (part !== null) set(part);
      } });
    }
    const stands = h("span", { class: "stands" });
    const line = h("tr", { class: row.name ? "" : "reserved" },
      h("td", { "data-label": "Bits" }, placeOf(row)), h("td", { "data-label": "Value" }, control),
      h("td", { "data-label": "Name" }, row.name ? code(row.name) : "reserved"),
      h("td", { "data-label": "Meaning" }, row.meaning, " ", stands, row.values.length ? h("small", null, ` (${row.values.map(([of, what]) => `${of} ${what}`).join(", ")})`) : null),
      h("td", { "data-label": "Needs" }, row.needs ?? ""));
    return { row, control, stands, line };
  });
  function show(typed) {
    for (const [index, part] of cut(rows, bytes, value).entries()) {
      const { row, control, stands, line } = controls[index];
      if (row.high === row.low) control.checked = part.value === 1n;
      else if (document.activeElement !== control) control.value = `0x${part.value.toString(16)}`;
      stands.textContent = part.standsFor ? `→ ${part.standsFor}` : "";
      line.classList.toggle("wrong", row.name === null && part.value !== 0n);
      line.classList.toggle("set", part.value !== 0n);
    }
    if (!typed) said.textContent = "";
  }
  input.addEventListener("input", () => {
    const typed = number(input.value);
    if (typed === null || typed > maskOf(8 * bytes)) {
      said.textContent = typed === null ? "write 0x1f, 1fh or 31" : `more than ${8 * bytes} bits`;
      return;
    }
    value = typed;
    said.textContent = "";
    show(true);
  });
  show(false);
  const headings = ["Bits", "Value", "Name", "Meaning", "Needs"];
  return [
    diagram(rows, bytes),
    h("p", { class: "editor" }, h("label", null, "Value ", input), " ", said),
    h("div", { class: "scroll" }, h("table", { class: "bits" },
      h("thead", null, h("tr", null, headings.map((heading) => h("th", { scope: "col" }, heading)))),
      h("tbody", null, controls.map(({ line }) => line)))),
  ];
}

// ---- single things -----------------------------------------------------------------------

function fieldView(name) {
  const field = fieldByName.get(name);
  if (!field) return missing(name);
  const at = data.fields.indexOf(field);
  const beside = (other, text) => (other ? link(`#f/${other.name}`, `${text} ${offsetName(other.offset)} ${other.reserved ? "reserved" : other.name}`) : "");
  return [
    h("h1", null, field.reserved ? "Reserved" : code(field.name), " ", h("small", null, `${offsetName(field.offset)}, ${field.bytes} bytes, ${field.area} area`)),
    h("p", null, field.meaning + "."),
    facts([
      ["After a reset", field.reset], ["VMRUN demands", field.demands.join("; ")], ["Written by", field.written_by], ["Read by", field.read_by],
      ["Needs", field.needs], ["Manual", `APM volume 2, ${field.section}`],
    ]),
    editor(field.bits, field.bytes, startValue(field)) ?? [],
    policyValues(field.name),
    h("p", { class: "beside" }, beside(data.fields[at - 1], "←"), " ", beside(data.fields[at + 1], "→")),
  ];
}

// The first policy's value, else the register's after a reset.
function startValue(field) {
  const [value] = valuesOf(field.name).filter(({ value }) => value.value !== null);
  return BigInt(value ? value.value.value : field.reset ?? "0x0");
}

function valuesOf(name) {
  return data.policies.flatMap((policy) =>
    policy.vms.flatMap((vm) => vm.fields.filter((value) => value.field === name).map((value) => ({ policy, vm, value }))));
}

const saidAt = (policy, { line, text }) => (line ? [`${policy.file}:${line}: `, code(text)] : text);

function policyValues(name) {
  const found = valuesOf(name);
  if (found.length === 0) return null;
  const rows = found.flatMap(({ policy, vm, value }) =>
    value.parts.map((part, index) => [index ? "" : `${policy.file}, ${vm.name}`, index ? "" : code(value.value ?? "at run time"), part.what, saidAt(policy, part)]));
  return [h("h2", null, "What policies make of it"), table(["Policy, VM", "Value", "Holds", "Said at"], rows)];
}

function exitView(name) {
  const exit = exitByName.get(name);
  if (!exit) return missing(name);
  const handled = data.policies.flatMap((policy) =>
    policy.vms.flatMap((vm) => vm.exits.filter((gate) => gate.exit === name).map((gate) => [`${policy.file}, ${vm.name}`, code(gate.handler), saidAt(policy, gate)])));
  const info = (title, text, rows) => [h("h2", null, title), h("p", null, text + "."), editor(rows, 8, 0n) ?? []];
  return [
    h("h1", null, code(exit.apm), " ", h("small", null, `exit ${exit.code}, in vm.toml `, code(exit.name))),
    h("p", null, `Taken on ${exit.trigger}.`),
    facts([
      ["Intercept", exit.field ? [link(`#f/${exit.field}`, exit.field), ` bit ${exit.bit} (${offsetName(fieldByName.get(exit.field).offset)})`] : exit.cause],
      ["RIP", exit.rip], ["Actions", exit.actions.join(", ")], ["Unasked", exit.unasked], ["Belongs to", exit.belongs_to], ["Needs", exit.needs],
      ["Manual", `APM volume 2, ${exit.section}`],
    ]),
    info("EXITINFO1", exit.info1, exit.info1_bits),
    info("EXITINFO2", exit.info2, exit.info2_bits),
    handled.length ? [h("h2", null, "What handles it"), table(["Policy, VM", "Handler", "Said at"], handled)] : null,
  ];
}

function msrView(name) {
  const msr = data.msrs.find((msr) => msr.name === name);
  if (!msr) return missing(name);
  return [h("h1", null, code(msr.name), " ", h("small", null, `MSR ${msr.number}`)), h("p", null, msr.meaning + "."), editor(msr.bits, 8, 0n) ?? []];
}

function cpuidView(register) {
  const row = data.cpuid.find((row) => row.register === register);
  if (!row) return missing(register);
  return [h("h1", null, `CPUID 8000_000Ah ${row.register}`), h("p", null, row.meaning + "."), editor(row.bits, 4, 0n) ?? []];
}

function instructionView(mnemonic) {
  const found = data.instructions.find((instruction) => instruction.mnemonic === mnemonic);
  if (!found) return missing(mnemonic);
  const exit = data.exits.find((exit) => exit.apm === found.exit);
  return [
    h("h1", null, code(found.mnemonic), " ", h("small", null, found.opcode)),
    h("p", null, found.meaning + "."),
    facts([["Operands", found.operands], ["Where", found.privilege], ["Exit", link(`#x/${exit.name}`, found.exit)], ["Needs", found.needs], ["Manual", `APM volume 2, ${found.section}`]]),
  ];
}

const missing = (name) => [h("h1", null, "Not here"), h("p", null, `There is nothing called “${name}”. Search above, or look at the `, link("#map", "map"), ".")];
