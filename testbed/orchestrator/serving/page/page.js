"use strict";

const POLL_MS = 1000, POLL_BUSY_MS = 200, KEPT_S = 60;
const at = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let about = null, busy = false, chain = [], drawn = new Map(), rows = new Map(), suggestion = 0;

function element(kind, text, parent, name) {
  const made = document.createElement(kind);
  if (text !== null && text !== undefined) made.textContent = text;
  if (name) made.className = name;
  if (parent) parent.append(made);
  return made;
}

const number = (value, digits = 0) => value.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
const many = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
function rate(bps) {
  for (const [unit, size] of [["Gbit/s", 1e9], ["Mbit/s", 1e6], ["kbit/s", 1e3]])
    if (bps >= size) return `${Number((bps / size).toPrecision(3))} ${unit}`;
  return `${Math.round(bps)} bit/s`;
}
function figures(shape) {
  const said = [shape.rate_bps ? rate(shape.rate_bps) : "no limit", `${shape.delay_ms} ms`];
  if (shape.jitter_ms) said.push(`±${shape.jitter_ms} ms`);
  if (shape.loss) said.push(`${Number((shape.loss * 100).toPrecision(3))} % lost`);
  return said.join(", ");
}

/* The nodes from a device up to the top, and the link above each. */
function wayFrom(device) {
  const nodes = new Map(about.nodes.map(node => [node.name, node])), way = [];
  for (let node = nodes.get(device); node; node = nodes.get(node.parent)) {
    const link = about.links.find(link => link.children.includes(node.name) && link.parent === node.parent);
    way.push({node, link});
  }
  return way;
}

function drawChain(device) {
  chain = wayFrom(device);
  drawn = new Map();
  const way = at("way");
  way.replaceChildren();
  for (const {node, link} of chain) {
    const box = element("li", null, way, "node idle");
    element("b", node.name, box);
    element("span", `${node.tier}: ${about.models[node.tier]}`, box, "quiet");
    drawn.set(node.name, {box, told: element("div", null, box)});
    if (!link) continue;
    const hop = element("li", null, way, "hop");
    element("span", link.name, hop, "name");
    const up = element("span", figures(link.up), hop, "up"), wire = element("div", null, hop, "wire");
    drawn.set(link.name, {hop, wire, up, down: element("span", figures(link.down), hop, "down")});
  }
}

/* A dot crosses a link in the time that the request took, at least long enough to be seen. */
async function cross(link, down, ms) {
  const {hop, wire} = drawn.get(link);
  const dot = element("i", null, wire, down ? "dot down" : "dot");
  hop.classList.add("crossed");
  const frames = [{left: "0%"}, {left: "100%"}];
  if (down) frames.reverse();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches)
    await dot.animate(frames, {duration: Math.min(3000, Math.max(250, ms ?? 0)), easing: "linear"}).finished;
  dot.remove();
}

function decision(step, ended) {
  if (step.kept) return ["kept", "good"];
  if (ended) return [`ended here: ${ended}`, "bad"];
  if (step.skipped) return [`the next tier was out of reach (${step.skipped}): asked past it`, "bad"];
  if (step.forward_error) return [`sent up, and no answer came (${step.forward_error})`, "bad"];
  return [step.confidence === null ? "sent up without an answer of its own" : "sent up", "up"];
}

/* `ended` is the error with which the request ended at this node, before it went further. */
function tellNode(step, ended) {
  const {box, told} = drawn.get(step.node);
  box.className = step.kept ? "node kept" : "node passed";
  told.replaceChildren();
  const [words, kind] = decision(step, ended);
  element("p", words, told, kind);
  if (step.confidence !== null && step.confidence !== undefined) {
    const gauge = element("div", null, told, "gauge");
    element("i", null, gauge).style.width = `${step.confidence * 100}%`;
    const said = element("p", `confidence ${number(step.confidence, 4)}`, told);
    if (step.threshold !== null) {
      element("u", null, gauge).style.left = `${step.threshold * 100}%`;
      said.textContent += `, threshold ${number(step.threshold, 4)}`;
    }
  }
  if (step.answer) element("p", `its answer: ${step.answer.slice(0, 120)}`, told, "quiet");
  if (step.inference_ms !== undefined)
    element("p", `queue ${number(step.queue_ms, 1)} + inference ${number(step.inference_ms, 1)} + own ${number(step.own_ms, 1)} ms`, told, "quiet");
}

function crossing(bytes, ms, sign, others) {
  const time = ms === null ? "" : `, ${number(ms, 1)} ms`;
  if (bytes === null) return `${sign} bytes not known${others ? `: ${many(others, "other")}` : ""}${time}`;
  return `${sign} ${number(bytes)} B${others ? ` shared with ${many(others, "other")}` : ""}${time}`;
}

function tellHop(hop) {
  const {up, down} = drawn.get(hop.link);
  up.textContent = crossing(hop.up_bytes, hop.up_ms, "→", hop.others);
  down.textContent = crossing(hop.down_bytes, hop.down_ms, "←", hop.others);
}

async function show(way) {
  for (const [place, step] of way.nodes.entries()) {
    tellNode(step, way.outcome !== "answered" && !way.hops[place] ? way.outcome : null);
    if (way.hops[place]) await cross(way.hops[place].link, false, way.hops[place].up_ms);
  }
  for (const hop of [...way.hops].reverse()) {
    if (hop.down_ms !== null) await cross(hop.link, true, hop.down_ms);
    tellHop(hop);
  }
}

function tellAnswer(text, sum, failed) {
  at("result").hidden = false;
  at("ended").textContent = failed ? "Error" : "Answer";
  at("answer").textContent = text;
  at("answer").className = failed ? "bad" : "";
  at("sum").textContent = sum;
}

function newId() {
  return [...crypto.getRandomValues(new Uint8Array(6))].map(byte => byte.toString(16).padStart(2, "0")).join("");
}

async function ask(prompt) {
  const id = newId();
  const answer = await fetch("v1/chat/completions", {
    method: "POST",
    headers: {"Content-Type": "application/json", "X-Request-Id": id, "X-Deadline-Ms": String(about.deadline_ms)},
    body: JSON.stringify({model: about.model, messages: [{role: "user", content: prompt}]}),
  });
  const said = await answer.json();
  const found = await fetch(`ways/${id}`);
  return {status: answer.status, said, way: found.ok ? await found.json() : null};
}

async function send(prompt) {
  busy = true;
  at("send").disabled = true;
  at("result").hidden = true;
  drawChain(about.devices[0]);
  const began = performance.now();
  const clock = setInterval(() => { at("state").textContent = `under way for ${number((performance.now() - began) / 1000, 1)} s`; }, 100);
  try {
    const {status, said, way} = await ask(prompt);
    clearInterval(clock);
    at("state").textContent = "";
    if (way && way.nodes.length) {
      if (!drawn.has(way.nodes[0].node)) drawChain(way.nodes[0].node);
      await show(way);
    }
    const ms = way ? `${number(way.latency_ms, 1)} ms in all; ` : "";
    if (status === 200)
      tellAnswer(said.choices[0].message.content, `${ms}answered by ${said.recserve.tier}; the prompt has ${many(way?.prompt_bytes ?? 0, "byte")}, ${many(said.usage.prompt_tokens, "token")}; request ${way?.request_id ?? ""}`, false);
    else tellAnswer(said.error?.message ?? "no answer", `${ms}status ${status}, ${said.error?.type ?? ""}`, true);
  } catch (error) {
    tellAnswer(`No answer came: ${error.message}`, "Is testbed serve still up?", true);
  } finally {
    clearInterval(clock);
    at("state").textContent = "";
    busy = false;
    await look();
    at("send").disabled = false;
  }
}

function drawLinks() {
  const body = at("links").querySelector("tbody");
  for (const link of about.links) {
    const row = element("tr", null, body);
    element("td", link.name, row);
    const made = {seen: [], lines: [], told: []};
    for (const way of ["up", "down"]) {
      const picture = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "polyline");
      picture.setAttribute("viewBox", "0 0 180 26");
      picture.setAttribute("preserveAspectRatio", "none");
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", `${link.name} ${way}, last minute`);
      line.setAttribute("class", `line-${way}`);
      picture.append(line);
      element("td", null, row).append(picture);
      made.lines.push(line);
      made.told.push(element("td", "", row, way));
    }
    made.waiting = element("td", "", row);
    rows.set(link.name, made);
  }
}

function tellLoad(live) {
  for (const link of about.links) {
    const made = rows.get(link.name), now = live.links[link.name];
    made.seen.push({at_s: live.at_s, bytes: now.bytes});
    while (made.seen[0].at_s < live.at_s - KEPT_S) made.seen.shift();
    made.waiting.textContent = now.waiting.join(" / ");
    const before = made.seen.findLast(seen => seen.at_s <= live.at_s - .95) ?? made.seen[0];
    for (const [way, name] of ["up", "down"].entries()) {
      const spent_s = live.at_s - before.at_s;
      const bps = spent_s ? 8 * (now.bytes[way] - before.bytes[way]) / spent_s : 0, most = link[name].rate_bps;
      made.told[way].textContent = rate(bps) + (most && bps ? ` (${Number((100 * bps / most).toPrecision(2))} %)` : "");
      drawLine(made, way, live.at_s);
    }
    const shown = drawn.get(link.name), last = made.seen.at(-2);
    if (shown) shown.hop.classList.toggle("busy", busy && last !== undefined && last.bytes.join() !== now.bytes.join());
  }
}

/* Bits by second; the highest of the minute reaches the top. */
function drawLine(made, way, now_s) {
  const seconds = new Array(KEPT_S).fill(0);
  for (let place = 1; place < made.seen.length; place++) {
    const second = Math.floor(now_s - made.seen[place].at_s);
    if (second < KEPT_S) seconds[KEPT_S - 1 - second] += made.seen[place].bytes[way] - made.seen[place - 1].bytes[way];
  }
  const most = Math.max(...seconds, 1);
  made.lines[way].setAttribute("points", seconds.map((bytes, place) => `${place * 180 / (KEPT_S - 1)},${24.5 - 23 * bytes / most}`).join(" "));
}

function tellRequests(live) {
  const body = at("requests").querySelector("tbody");
  body.replaceChildren();
  for (const request of live.requests) {
    const row = element("tr", null, body);
    element("td", request.request_id, row);
    element("td", request.device, row);
    const ended = request.outcome === "answered" ? request.tier : request.outcome ?? "under way";
    element("td", ended, row, request.outcome && request.outcome !== "answered" ? "bad" : "");
    element("td", request.latency_ms === null ? "" : number(request.latency_ms, 1), row);
    element("td", request.prompt, row);
  }
  at("counts").textContent = `${number(live.done)} done, ${number(live.under_way)} under way.`;
}

async function look() {
  try {
    const live = await (await fetch("live")).json();
    tellLoad(live);
    tellRequests(live);
  } catch {
    at("counts").textContent = "testbed serve does not answer any more.";
  }
}

async function poll() {
  await look();
  setTimeout(poll, busy ? POLL_BUSY_MS : POLL_MS);
}

function parameters(method) {
  const greek = {beta: "β"};
  const said = Object.entries(method.parameters).map(([name, value]) => `${greek[name] ?? name} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  const policy = method.policy === method.name ? "" : ` (${method.policy})`;
  return [`method ${method.name}${policy}`, ...said].join(", ");
}

async function start() {
  about = await (await fetch("about")).json();
  document.title = `${about.scenario}: testbed serve`;
  at("scenario").textContent = about.scenario;
  const asked = about.devices.length > 1 ? `${about.devices.join(", ")} in turn` : about.devices[0];
  at("about").textContent = `${parameters(about.method)}. Asked: ${asked}. For clients: ${about.url}. ${about.recorded ? "Recorded." : "Not recorded."}`;
  about.model = (await (await fetch("v1/models")).json()).data[0].id;
  at("suggest").hidden = !about.suggested.length;
  drawChain(about.devices[0]);
  drawLinks();
  poll();
}

at("ask").addEventListener("submit", event => {
  event.preventDefault();
  if (!busy && at("prompt").value) send(at("prompt").value);
});
at("prompt").addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("ask").requestSubmit();
});
at("suggest").addEventListener("click", () => { at("prompt").value = about.suggested[suggestion++ % about.suggested.length]; });
start().catch(error => { at("about").textContent = `This page could not be filled: ${error.message}`; });
