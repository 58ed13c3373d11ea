// Adapter of @vladmandic/human on Node. MIEN_HUMAN names the folder in which these were installed:
// npm install @vladmandic/human @tensorflow/tfjs @tensorflow/tfjs-backend-wasm jpeg-js
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const modules = path.resolve(process.env.MIEN_HUMAN, 'node_modules');
const require = createRequire(path.join(modules, 'here.js'));
const { Human } = require(path.join(modules, '@vladmandic/human/dist/human.node-wasm.js'));
const jpeg = require('jpeg-js');

const fetched = globalThis.fetch; // which Node does not let read files, and the tool reads its weights by
globalThis.fetch = async (url, options) => (String(url).startsWith('file:')
  ? new Response(fs.readFileSync(new URL(url)))
  : fetched(url, options));

const task = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const human = new Human({
  backend: 'wasm',
  wasmPath: `${modules}/@tensorflow/tfjs-backend-wasm/dist/`,
  modelBasePath: `file://${modules}/@vladmandic/human/models/`,
  face: { detector: { maxDetected: 50 }, emotion: { enabled: true } },
  body: { enabled: false }, hand: { enabled: false }, object: { enabled: false }, gesture: { enabled: false },
  cacheSensitivity: 0,
});
await human.load();
for (const picture of task.pictures) {
  const times = [];
  let faces = 0;
  for (let i = 0; i <= task.runs; i += 1) {
    const started = performance.now();
    const { data, width, height } = jpeg.decode(fs.readFileSync(picture), { useTArray: true });
    const rgba = human.tf.tensor(data, [1, height, width, 4], 'float32');
    const rgb = human.tf.slice(rgba, [0, 0, 0, 0], [1, height, width, 3]);
    faces = (await human.detect(rgb)).face.length;
    human.tf.dispose([rgba, rgb]);
    times.push(performance.now() - started);
  }
  console.log(JSON.stringify({ picture, faces, milliseconds: times.slice(1) }));
}
