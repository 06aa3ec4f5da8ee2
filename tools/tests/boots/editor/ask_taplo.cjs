// Plays an editor before Taplo's language server, which is a WebAssembly module in the package
// @taplo/lsp.
//
// Standard input: {"folder", "questions": [{"text", "method", "line", "character"}]}; `method` is
// a request of the language server protocol ("textDocument/hover"), or "diagnostics" for what the
// server says of the text by itself. Standard output: a JSON list of the answers, in order.
// Argument: the folder in which the package is installed.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");
const { fileURLToPath, pathToFileURL } = require("node:url");

const { TaploLsp } = createRequire(path.resolve(process.argv[2], "here.js"))("@taplo/lsp");
const { folder, questions } = JSON.parse(fs.readFileSync(0, "utf8"));

// What a WebAssembly module cannot do by itself. The schema is a file, so no network is needed.
const environment = {
  now: () => new Date(),
  envVar: (name) => process.env[name],
  envVars: () => Object.entries(process.env),
  stdErrAtty: () => false,
  stdin: async () => new Uint8Array(),
  stdout: async (bytes) => bytes.length,
  stderr: async (bytes) => (process.stderr.write(bytes), bytes.length),
  glob: () => [],
  readFile: async (file) => new Uint8Array(fs.readFileSync(file)),
  writeFile: async () => {},
  urlToFilePath: (url) => (url.startsWith("file:") ? fileURLToPath(url) : decodeURI(url)),
  isAbsolute: (file) => path.isAbsolute(file),
  cwd: () => folder,
  findConfigFile: () => undefined,
};
globalThis.fetch = async () => { throw new Error("an editor without a network"); };

async function main() {
  const promises = new Map();
  const diagnoses = new Map();
  let server;
  const settings = { schema: { enabled: true, catalogs: [] }, taplo: { configFile: { enabled: false } } };
  const hear = (message) => {
    if (message.method && message.id !== undefined) {
      const result = message.method === "workspace/configuration"
        ? message.params.items.map(() => settings) : null;
      server.send({ jsonrpc: "2.0", id: message.id, result });
    } else if (message.method === "textDocument/publishDiagnostics") {
      diagnoses.get(message.params.uri)?.push(message.params.diagnostics);
    } else if (promises.has(message.id)) {
      promises.get(message.id)(message.result ?? null);
      promises.delete(message.id);
    }
  };
  const tell = (method, params) => server.send({ jsonrpc: "2.0", method, params });
  let id = 0;
  const ask = (method, params) => {
    id += 1;
    return new Promise((resolve) => {
      promises.set(id, resolve);
      server.send({ jsonrpc: "2.0", id, method, params });
    });
  };

  server = await TaploLsp.initialize(environment, { onMessage: hear });
  const rootUri = pathToFileURL(folder).href;
  await ask("initialize", {
    processId: null,
    rootUri,
    capabilities: { workspace: { configuration: true } },
    workspaceFolders: [{ uri: rootUri, name: "tollgate" }],
  });
  tell("initialized", {});

  const answers = [];
  for (const [index, { text, method, line, character }] of questions.entries()) {
    const uri = `${rootUri}/question-${index}.toml`;
    diagnoses.set(uri, []);
    tell("textDocument/didOpen", {
      textDocument: { uri, languageId: "toml", version: 1, text },
    });
    // QUIRK: @taplo/lsp 0.8.0 diagnoses three times: it calls a document clean before it has read
    // the schema that the document names.
    for (let waits = 0; diagnoses.get(uri).length < 3 && waits < 500; waits += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    answers.push(method === "diagnostics"
      ? diagnoses.get(uri).at(-1)
      : await ask(method, { textDocument: { uri }, position: { line, character } }));
  }
  process.stdout.write(JSON.stringify(answers), () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
