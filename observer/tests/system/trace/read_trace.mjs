// Reads a file of Trace Event JSON with the parser of Chrome's DevTools, and says what is in it.
import fs from 'node:fs';
import path from 'node:path';
import {pathToFileURL} from 'node:url';

const [directory, file] = process.argv.slice(2);
const module = 'node_modules/@paulirish/trace_engine/models/trace/trace.js';
globalThis.DOMRect ??= class {};
const Trace = await import(pathToFileURL(path.resolve(directory, module)));

const events = JSON.parse(fs.readFileSync(file, 'utf8'));
const settings = {...Trace.Types.Configuration.defaults(), showAllEvents: true};
const model = Trace.TraceModel.Model.createWithAllHandlers(settings);
await model.parse(events, {metadata: {}, isFreshRecording: false});
const {data} = model.parsedTrace(0);

const threads = [...data.Renderer.processes.values()].flatMap(one => [...one.threads.values()]);
const arrows = data.Flows.flows;
const isOne = flow =>
  flow.length === 2 && flow[0].name === 'woken: accepted' && flow[1].name.startsWith('accept #');
const sum = (all, of) => all.reduce((total, one) => total + of(one), 0);
console.log(JSON.stringify({
  arrows: arrows.length,
  unlike: arrows.filter(flow => !isOne(flow)).length,
  tracks: threads.length,
  names: threads.map(one => one.name),
  slices: sum(threads, one => one.entries.length),
  nested: sum(threads, one => one.entries.length - one.tree.roots.size),
  processes: [...data.Meta.processNames.values()].map(one => one.args.name),
}));
