// The lists, the dump reader, the comparison, and the ways between the views.

function fieldsView() {
  const area = (name, title) => [
    h("h2", null, title),
    table(["Offset", "Bytes", "Field", "Meaning", "Reset", "VMRUN demands", "Written by", "Needs"],
      data.fields.filter((field) => field.area === name).map((field) => [
        offsetName(field.offset), `${field.bytes}`, field.reserved ? link(`#f/${field.name}`, "reserved") : link(`#f/${field.name}`, field.name),
        field.reserved ? "" : field.meaning, field.reset ? code(field.reset) : "", field.demands.join("; "), field.written_by, field.needs ?? "",
      ])),
  ];
  return [h("h1", null, "Fields of the VMCB"), area("control", "Control area"), area("save", "Save area")];
}

function exitsView() {
  return [
    h("h1", null, "Exits"),
    table(["Code", "Exit", "In vm.toml", "When", "Intercept", "EXITINFO1", "EXITINFO2"],
      data.exits.map((exit) => [exit.code, link(`#x/${exit.name}`, exit.apm), code(exit.name), exit.trigger,
        exit.field ? link(`#f/${exit.field}`, exit.cause) : exit.cause, exit.info1, exit.info2])),
  ];
}

function otherView() {
  return [
    h("h1", null, "MSRs, CPUID, instructions"),
    h("h2", null, "MSRs"),
    table(["MSR", "Name", "What it is"], data.msrs.map((msr) => [code(msr.number), link(`#m/${msr.name}`, msr.name), msr.meaning])),
    h("h2", null, "CPUID leaf 8000_000Ah"),
    table(["Register", "What it holds"], data.cpuid.map((row) => [link(`#c/${row.register}`, row.register), row.meaning])),
    h("h2", null, "Instructions"),
    table(["Instruction", "Bytes", "What it does", "Where"],
      data.instructions.map((one) => [link(`#i/${one.mnemonic}`, one.mnemonic), code(one.opcode), one.meaning, one.privilege])),
  ];
}

function demandsView() {
  const rows = data.fields.flatMap((field) => field.demands.map((demand) => [offsetName(field.offset), link(`#f/${field.name}`, field.name), demand]));
  return [
    h("h1", null, "What VMRUN demands"),
    h("p", null, "A VMCB that breaks one of these is refused with VMEXIT_INVALID (exit code -1), and the CPU does not say which. ",
      "Tollgate checks them before, prints the field with a dump of the VMCB, and the ", link("#decode", "dump reader"), " reads it. APM 15.5.1."),
    table(["Offset", "Field", "Demand"], rows),
  ];
}

function decodeView() {
  const out = h("div", { id: "decoded" });
  const box = h("textarea", { id: "dump", rows: "10", spellcheck: "false", "aria-label": "Dump of a VMCB in hexadecimal", placeholder: "Paste the lines that begin with vmcb+, or the output of xxd, hexdump or od -A x", oninput: read });
  function read() {
    out.replaceChildren();
    if (box.value.trim() === "") return;
    try {
      const vmcb = readDump(box.value);
      out.append(...decodedFields(vmcb).flat(Infinity));
      if (exitOf(vmcb)?.name === "invalid") {
        out.append(h("p", null, "VMRUN refused this VMCB: hold it against ", link("#demands", "what VMRUN demands"),
          ", or have the field named by ", code("cargo vmcb-docs --decode FILE"), "."));
      }
    } catch (error) {
      out.append(h("p", { class: "wrong" }, error.message));
    }
  }
  return [h("h1", null, "Read a dump"), h("p", null, "The dump stays on this page. Fields that are zero are left out."), box, out];
}

function decodedFields(vmcb) {
  const rows = data.fields.filter((field) => field.reserved ? used(vmcb, field) : fieldOf(vmcb, field) !== 0n).map((field) => {
    if (field.reserved) return [offsetName(field.offset), "reserved", `${used(vmcb, field)} bytes are not 0`, ""];
    if (field.bytes > 16) return [offsetName(field.offset), link(`#f/${field.name}`, field.name), `${used(vmcb, field)} bytes are not 0`, ""];
    const value = fieldOf(vmcb, field);
    return [offsetName(field.offset), link(`#f/${field.name}`, field.name), code(hex(value, field.bytes)),
      field.name === "exit_code" ? exitLink(vmcb) : list(words(bitsIn(vmcb, field), field.bytes, value))];
  });
  return [table(["Offset", "Field", "Value", "In words"], rows)];
}

const list = (lines) => (lines.length ? h("ul", null, lines.map((line) => h("li", null, line))) : "");

const used = (vmcb, field) => vmcb.subarray(field.offset, field.offset + field.bytes).filter((byte) => byte !== 0).length;

const exitLink = (vmcb) => {
  const exit = exitOf(vmcb);
  return exit ? link(`#x/${exit.name}`, exit.apm) : "unknown";
};

function compareView() {
  const all = data.policies.flatMap((policy) => policy.vms.map((vm) => ({ policy, vm, name: `${policy.file}: ${vm.name}` })));
  const out = h("div", { id: "differences" });
  const boxes = all.map((one, index) => {
    const box = h("input", { type: "checkbox", value: `${index}`, onchange: show });
    return { box, line: h("label", { class: "choice" }, box, " ", one.name) };
  });
  function show() {
    const ticked = boxes.filter(({ box }) => box.checked).map(({ box }) => all[Number(box.value)]);
    out.replaceChildren(...(ticked.length === 2 ? differences(...ticked) : [h("p", null, "Tick two.")]).flat(Infinity));
  }
  show();
  if (all.length < 2) out.replaceChildren(h("p", null, "Make this page with two policies: cargo vmcb-docs --format html --config A --config B"));
  return [h("h1", null, "Compare policies"), h("div", { class: "choices" }, boxes.map(({ line }) => line)), out];
}

function differences(one, other) {
  const value = ({ vm }, name) => {
    const found = vm.fields.find((value) => value.field === name);
    return found ? found.value ?? "at run time" : "0";
  };
  const names = data.fields.map((field) => field.name).filter((name) => value(one, name) !== value(other, name));
  const fields = names.map((name) => [link(`#f/${name}`, name), code(value(one, name)), code(value(other, name))]);
  const gate = ({ policy, vm }, name) => {
    const found = vm.exits.find((gate) => gate.exit === name);
    return found ? [found.handler, found.line ? ` (${policy.file}:${found.line})` : ""] : ["not intercepted", ""];
  };
  const exits = data.exits
    .filter((exit) => gate(one, exit.name)[0] !== gate(other, exit.name)[0])
    .map((exit) => [link(`#x/${exit.name}`, exit.name), gate(one, exit.name).join(""), gate(other, exit.name).join("")]);
  if (fields.length + exits.length === 0) return [h("p", null, "No difference in the VMCB or in what handles an exit.")];
  return [
    h("h2", null, "Fields"), table(["Field", one.name, other.name], fields),
    h("h2", null, "Exits"), table(["Exit", one.name, other.name], exits),
  ];
}

function searchView(question) {
  const found = search(question);
  if (found.length === 0) return [h("h1", null, "Nothing found"), h("p", null, `for “${question}”`)];
  return [
    h("h1", { class: "quiet" }, `Found for “${question}”`),
    h("ol", { class: "results" }, found.map((entry) =>
      h("li", null, h("a", { href: entry.href }, h("b", null, entry.title), " ", h("small", null, entry.kind)), h("p", null, entry.about), answer(entry)))),
  ];
}

// What there is to say without following the link: the demands of VMRUN, and what the first
// policy makes of a field.
function answer(entry) {
  let lines = [];
  if (entry.href === "#demands") {
    lines = data.fields.flatMap((field) => field.demands.map((demand) => `${field.name}: ${demand}`));
  } else if (entry.kind === "field") {
    const ours = valuesOf(entry.href.slice(3)).filter(({ policy }) => policy === data.policies[0]);
    lines = ours.flatMap(({ policy, vm, value }) => [
      `${policy.file}, ${vm.name}: ${value.value ?? "at run time"}`,
      ...value.parts.map((part) => `${part.what}, ${part.line ? `${policy.file}:${part.line}: ${part.text}` : part.text}`),
    ]);
  }
  return lines.length ? h("ul", { class: "answer" }, lines.map((line) => h("li", null, line))) : null;
}

const views = {
  map: mapView, all: allView, fields: fieldsView, exits: exitsView, other: otherView, demands: demandsView, decode: decodeView, compare: compareView,
  f: fieldView, x: exitView, m: msrView, c: cpuidView, i: instructionView, q: searchView,
};

const box = document.getElementById("search");
const main = document.getElementById("main");

// What the fragment says; one that a person typed may have a % of its own.
function fragment() {
  const text = location.hash.slice(1) || "map";
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function show() {
  const [name, ...rest] = fragment().split("/");
  const view = Object.hasOwn(views, name) ? views[name](rest.join("/")) : missing(name);
  main.replaceChildren(...view.flat(Infinity).filter((child) => child !== null && child !== undefined));
  const title = main.querySelector("h1")?.textContent ?? "";
  document.title = `${title} · SVM reference`;
  for (const tab of document.querySelectorAll("nav a")) {
    if (tab.hash === `#${name}`) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (name === "q" && document.activeElement !== box) box.value = rest.join("/");
  if (name !== "q") { box.value = ""; scrollTo(0, 0); }
}

addEventListener("hashchange", show);
box.addEventListener("input", () => {
  history.replaceState(null, "", box.value.trim() ? `#q/${encodeURIComponent(box.value)}` : "#map");
  const typed = box.value;
  show();
  box.value = typed;
});
box.addEventListener("keydown", (event) => {
  const results = [...main.querySelectorAll(".results a")];
  if (event.key === "Enter" && results.length) location.hash = results[0].hash;
});
addEventListener("keydown", (event) => {
  const writes = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
  if ((event.key === "/" && !writes) || (event.key === "Escape" && document.activeElement !== box)) {
    box.focus();
    box.select();
    event.preventDefault();
  }
  const results = [...main.querySelectorAll(".results a")];
  const at = results.indexOf(document.activeElement);
  const isIn = at >= 0 || (document.activeElement === box && results.length && event.key === "ArrowDown");
  if (isIn && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    (results[at + (event.key === "ArrowDown" ? 1 : -1)] ?? box).focus();
    event.preventDefault();
  }
});
show();
