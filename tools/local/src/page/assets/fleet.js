// The fleet, as it is this second.

import { api } from "./api.js";
import { Chart } from "./chart.js";
import { age, byId, h, keep, latency, number, time } from "./dom.js";

/** As many moments as the charts show. */
const KEPT = 180;

const TILES = [
  { key: "visible", label: "Waiting", of: (state) => number(state.queue?.visible), note: () => "jobs in the queue" },
  { key: "in_flight", label: "In flight", of: (state) => number(state.queue?.in_flight), note: () => "with a worker" },
  { key: "workers", label: "Workers", of: (state) => number(inService(state)), note: ({ group }) => (group ? `${group.desired} wanted, at most ${group.max}` : "") },
  { key: "metric", label: "Workers needed", of: ({ needed }) => number(needed), note: ({ metric, followed, target }) => (target ? `${follows(followed, metric?.value)}target ${number(target)}` : "no target") },
  { key: "rate", label: "Photos a second", of: ({ pace }) => number(pace.photos_per_second), note: () => "answered" },
  { key: "p95", label: "Latency p95", of: ({ pace }) => latency(pace.p95_ms), note: ({ pace }) => `median ${latency(pace.p50_ms)}` },
];

/** What the policy follows, before its target. */
const follows = (name, value) => (value === undefined ? "" : name === "WorkerDemand" ? `${number(value)} % of those there; ` : `${number(value)} wait for each; `);

const inService = ({ group }) => group?.instances.filter(({ state }) => state === "InService").length;

export class Fleet {
  constructor() {
    this.points = [];
    this.charts = [
      new Chart({ title: "Backlog", format: number, least: 10, series: [
        { key: "visible", label: "waiting", look: "one" }, { key: "in_flight", label: "in flight", look: "two" }] }),
      new Chart({ title: "Workers", format: number, least: 2, whole: true, series: [
        { key: "in_service", label: "in service", look: "one", step: true }, { key: "needed", label: "needed", look: "two", step: true }, { key: "desired", label: "desired", look: "aim", step: true }] }),
      new Chart({ title: "What scaling follows", format: number, least: 10, series: [
        { key: "followed", label: "published", look: "one", step: true }, { key: "target", label: "target", look: "aim" }] }),
      new Chart({ title: "Latency", format: latency, least: 1000, series: [
        { key: "p95_ms", label: "p95", look: "one" }, { key: "p50_ms", label: "median", look: "two" }] }),
    ];
    byId("charts").append(...this.charts.map((chart) => chart.element));
    byId("tiles").append(...TILES.map(({ key, label }) =>
      h("div", { class: "tile", data: { tile: key } }, h("dt", {}, label), h("dd", {}, "–"), h("dd", { class: "note" }))));
    byId("kill").addEventListener("click", () => this.killOldest());
    byId("flood").addEventListener("submit", (event) => {
      event.preventDefault();
      this.flood();
    });
  }

  hello({ can_kill }) {
    this.canKill = can_kill;
    byId("kill").hidden = !can_kill;
  }

  history(points) {
    this.points = points.slice(-KEPT);
    this.draw();
  }

  show(state) {
    this.state = state;
    const { queue, group, metric, target, needed, pace } = state;
    this.points.push({
      at_ms: state.at_ms, visible: queue?.visible, in_flight: queue?.in_flight, in_service: inService(state), desired: group?.desired,
      followed: metric?.value, target, needed, p50_ms: pace.p50_ms, p95_ms: pace.p95_ms,
    });
    this.points.splice(0, this.points.length - KEPT);
    this.draw();
    for (const tile of byId("tiles").children) {
      const { of, note } = TILES.find(({ key }) => key === tile.dataset.tile);
      tile.children[1].textContent = of(state);
      tile.children[2].textContent = note(state);
    }
    const trouble = state.troubles.join("; ");
    if (byId("troubles").textContent !== trouble) byId("troubles").textContent = trouble;
    byId("troubles").hidden = !trouble;
    byId("fleet-hint").textContent = group ? `${inService(state)} of ${group.desired}` : "";
    this.showFlood(state);
    this.showInstances(state);
    this.showAlarms(state);
    this.showActivities(state);
  }

  draw() {
    for (const chart of this.charts) chart.draw(this.points);
  }

  showFlood({ flood }) {
    const isRunning = flood !== null && flood.phase !== "ended";
    const button = byId("flood-button");
    const words = !isRunning ? "Start a flood" : flood.phase === "arriving" ? "Stop the flood" : "Don't wait";
    if (button.textContent !== words) button.textContent = words;
    button.classList.toggle("primary", !isRunning);
    for (const field of byId("flood").querySelectorAll("input, select")) field.disabled = isRunning;
    byId("flood-progress").hidden = flood === null;
    if (flood === null) return;
    byId("flood-bar").max = flood.planned || 1;
    byId("flood-bar").value = flood.answered + flood.failed;
    const now = isRunning ? `${flood.phase === "arriving" ? `${number(flood.arrival_rate)} a second come` : "all were sent"}, ${number(flood.rate)} a second are answered` : "over";
    const failed = flood.failed ? `, ${flood.failed} failed` : "";
    byId("flood-text").textContent = `${flood.sent} of ${flood.planned} sent, ${flood.answered} answered, ${flood.outstanding} outstanding${failed}; ${now}`;
  }

  showInstances({ group, at_ms }) {
    const instances = group?.instances ?? [];
    const running = instances.filter(({ state }) => state === "InService");
    byId("kill").disabled = running.length === 0;
    keep(byId("instances"), instances, ({ id }) => id,
      ({ id }) => h("li", {}, h("code", {}, id), h("span", { class: "badge" }), h("span", { class: "age faint" }),
        this.canKill && h("button", { type: "button", class: "quiet", "aria-label": `Kill worker ${id}`, onclick: () => api.kill(id) }, "Kill")),
      (element, { state, healthy, since_ms }) => {
        element.dataset.state = state;
        const badge = element.querySelector(".badge");
        badge.textContent = healthy ? state : `${state}, unhealthy`;
        badge.dataset.kind = !healthy ? "bad" : state === "InService" ? "good" : state.startsWith("Terminating") ? "going" : "coming";
        element.querySelector(".age").textContent = age(at_ms - since_ms);
        const kill = element.querySelector("button");
        if (kill) kill.disabled = state !== "InService";
      });
    isNone("instances", instances);
  }

  showAlarms({ alarms, at_ms }) {
    const sign = { GreaterThanThreshold: ">", GreaterThanOrEqualToThreshold: "≥", LessThanThreshold: "<", LessThanOrEqualToThreshold: "≤" };
    keep(byId("alarms"), alarms, ({ name }) => name,
      ({ name }) => h("li", {}, h("span", { class: "badge" }), h("span", { class: "alarm-name", title: name }), h("span", { class: "faint age" }), h("p", { class: "faint" })),
      (element, { name, state, reason, threshold, comparison, since_ms }) => {
        const kind = name.includes("AlarmHigh") ? "High" : name.includes("AlarmLow") ? "Low" : name;
        const rule = threshold === null ? "" : ` (${sign[comparison] ?? comparison} ${number(threshold)})`;
        const badge = element.querySelector(".badge");
        badge.textContent = state === "INSUFFICIENT_DATA" ? "NO DATA" : state;
        // The low alarm is not a problem: it is on whenever there is little to do.
        badge.dataset.kind = state === "OK" ? "good" : state === "ALARM" && kind !== "Low" ? "bad" : "coming";
        element.dataset.state = state;
        element.querySelector(".alarm-name").textContent = kind + rule;
        element.querySelector(".age").textContent = since_ms ? `for ${age(at_ms - since_ms)}` : "";
        element.querySelector("p").textContent = reason;
      });
    isNone("alarms", alarms);
  }

  showActivities({ activities }) {
    keep(byId("activities"), activities, ({ id }) => id,
      ({ started_ms, description, cause }) => h("li", {}, h("time", {}, started_ms ? time(started_ms) : ""), h("span", { class: "badge" }),
        h("span", { class: "what" }, description), h("p", { class: "faint" }, readable(cause))),
      (element, { status }) => {
        const badge = element.querySelector(".badge");
        badge.textContent = status === "InProgress" ? "in progress" : status.toLowerCase();
        badge.dataset.kind = status === "Successful" ? "good" : status === "InProgress" ? "coming" : "bad";
      });
    isNone("activities", activities);
    // What was there when the page was opened is not new.
    byId("activity-log").setAttribute("aria-live", "polite");
  }

  async killOldest() {
    const running = this.state?.group?.instances.filter(({ state }) => state === "InService") ?? [];
    running.sort((one, other) => one.since_ms - other.since_ms);
    if (running.length) await api.kill(running[0].id);
  }

  async flood() {
    const isRunning = this.state?.flood && this.state.flood.phase !== "ended";
    if (isRunning) return api.stopFlood();
    const wish = new FormData(byId("flood"));
    byId("flood-button").disabled = true;
    await api.startFlood({ shape: wish.get("shape"), rate: Number(wish.get("rate")), seconds: Number(wish.get("seconds")) });
    byId("flood-button").disabled = false;
    return undefined;
  }
}

/** AWS tells moments as 2026-03-14T15:09:26.535897Z. */
const readable = (cause) => cause.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (moment) => time(Date.parse(moment)));

function isNone(id, items) {
  byId(id).hidden = items.length === 0;
  byId(id).closest("section").querySelector(".none").hidden = items.length > 0;
}
