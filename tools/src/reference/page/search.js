// Search over names, codes, offsets and text. A question in plain words finds the entry that has
// most of its words; names and numbers weigh more than text.

const data = JSON.parse(document.getElementById("data").textContent);
const fieldByName = new Map(data.fields.map((field) => [field.name, field]));
const exitByName = new Map(data.exits.map((exit) => [exit.name, exit]));

// The exit that a VMCB tells of. QEMU writes VMEXIT_INVALID as 32 bits: what is negative there is
// negative in 64.
function exitOf(vmcb) {
  const code = fieldOf(vmcb, fieldByName.get("exit_code"));
  const signed = code >> 8n === 0xffffffn ? BigInt.asIntN(32, code) : BigInt.asIntN(64, code);
  return data.exits.find((exit) => BigInt(exit.code) === signed);
}

// The bits of a field; those of EXITINFO1 and EXITINFO2 are the exit's.
function bitsIn(vmcb, field) {
  const infos = { exit_info1: "info1_bits", exit_info2: "info2_bits" };
  return Object.hasOwn(infos, field.name) ? exitOf(vmcb)?.[infos[field.name]] ?? [] : field.bits;
}

const idle = new Set(
  ("a an and are as at be by can do does for from has have hold holds how i in is it me mean means my of on " +
    "or say tell that the this to was what when where which who why will with you your").split(" "),
);

const stem = (word) => (/[a-z]{3,}(ed|s)$/.test(word) && !/ss$/.test(word) ? word.replace(/(ed|s)$/, "") : word);

// Names keep their dots and underscores; a name's pieces are words too.
function pieces(text) {
  const names = text.toLowerCase().match(/[a-z0-9_.#-]+/g) ?? [];
  return names.map((name) => name.replace(/^[.-]+|[.-]+$/g, "")).filter((name) => name !== "");
}

function wanted(question) {
  return pieces(question)
    .filter((word) => !idle.has(word))
    .map((word) => {
      const value = number(word);
      return value !== null && /^0x|[0-9].*h$/.test(word) ? `0x${value.toString(16)}` : stem(word);
    });
}

const bitText = (row) => `${row.name ?? ""} ${row.meaning} ${row.values.map(([, what]) => what).join(" ")}`;
const allBits = (rows) => rows.map(bitText).join(" ");

function makeIndex() {
  const index = [];
  const add = (kind, href, title, keys, about, text) =>
    index.push({
      kind, href, title, about,
      keys: new Set(keys.map((key) => key.toLowerCase())),
      parts: new Set(keys.flatMap((key) => key.toLowerCase().split(/[._\s-]/))),
      text: new Set(pieces(`${kind} ${about} ${text}`).flatMap((name) => [name, ...name.split(/[._-]/)].map(stem))),
    });
  for (const field of data.fields) {
    const at = `0x${field.offset.toString(16)}`;
    const name = field.reserved ? `reserved ${offsetName(field.offset)}` : field.name;
    add("field", `#f/${field.name}`, name, [field.name, at],
      `VMCB ${offsetName(field.offset)}, ${field.bytes} bytes: ${field.meaning}`,
      `vmcb offset ${field.demands.join(" ")} ${allBits(field.bits.filter((row) => !exitByName.has(row.name)))} ${policyText(field.name)}`);
    for (const row of field.bits) {
      if (row.name === null || exitByName.has(row.name)) continue;
      add("bit", `#f/${field.name}`, `${field.name}.${row.name}`, [row.name],
        `bit ${placeOf(row)} of ${field.name} (${offsetName(field.offset)}): ${row.meaning}`, "");
    }
  }
  for (const exit of data.exits) {
    const code = Number(exit.code);
    const short = exit.apm.replace("VMEXIT_", "");
    add("exit", `#x/${exit.name}`, `${exit.name}: exit ${exit.code}`, [exit.name, exit.apm, short, `0x${(code >>> 0).toString(16)}`, exit.code],
      `${exit.apm}: ${exit.trigger}. Intercept: ${exit.cause}. EXITINFO1: ${infoText(exit.info1, exit.info1_bits)}. ` +
        `EXITINFO2: ${infoText(exit.info2, exit.info2_bits)}.`,
      `vmexit code intercepts ${allBits(exit.info1_bits)} ${allBits(exit.info2_bits)}`);
  }
  for (const msr of data.msrs) {
    add("MSR", `#m/${msr.name}`, msr.name, [msr.name, `0x${Number(msr.number).toString(16)}`], `MSR ${msr.number}: ${msr.meaning}`, allBits(msr.bits));
  }
  for (const row of data.cpuid) {
    add("CPUID", `#c/${row.register}`, `8000_000Ah ${row.register}`, ["8000_000a", "0x8000000a", row.register],
      `CPUID leaf 8000_000Ah: ${row.meaning}`, allBits(row.bits));
  }
  for (const instruction of data.instructions) {
    add("instruction", `#i/${instruction.mnemonic}`, instruction.mnemonic, [instruction.mnemonic],
      `${instruction.opcode}: ${instruction.meaning}. Operands: ${instruction.operands}. ${instruction.privilege}.`, "");
  }
  add("rules", "#demands", "What VMRUN demands", ["refused", "refuse", "invalid", "demands"],
    "Why a VMCB is refused with VMEXIT_INVALID: the conditions of VMRUN, field by field", "vmcb vmrun illegal state why");
  return index;
}

const infoText = (text, rows) =>
  rows.length ? `${text}: ${rows.filter((row) => row.name).map((row) => `${placeOf(row)} ${row.name}`).join(", ")}` : text;

// What the policies make of a field, in words.
function policyText(name) {
  return data.policies
    .flatMap((policy) => policy.vms.flatMap((vm) => vm.fields.filter((value) => value.field === name).map((value) => `${policy.file} ${vm.name}`)))
    .join(" ");
}

const index = makeIndex();

function search(question) {
  const words = wanted(question);
  if (words.length === 0) return [];
  const scored = index.map((entry) => {
    let found = 0;
    let weight = 0;
    for (const word of words) {
      const worth = entry.keys.has(word) ? 12 : entry.parts.has(word) ? 6 : entry.text.has(word) ? 2 : startsAny(entry, word);
      if (worth > 0) found += 1;
      weight += worth;
    }
    return { entry, score: found * 8 + weight, found };
  });
  return scored.filter(({ found }) => found > 0).sort((a, b) => b.score - a.score).slice(0, 40).map(({ entry }) => entry);
}

// While a word is being typed, its beginning counts.
function startsAny(entry, word) {
  for (const key of entry.keys) if (key.startsWith(word)) return 4;
  for (const part of entry.text) if (part.startsWith(word) && word.length > 2) return 1;
  return 0;
}
