"use strict";
// What a page needs beside htmx: the menu on small windows, charts, where tables go on, and a word when
// nothing answers.

const KEPT_S = 3600;
const SAMPLES_MAX = 4000;
const WINDOW_S = 60;
const SERIES = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"];
const charts = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function shortNumber(value) {
  if (value === null || value === undefined) return "–";
  const units = ["", " k", " M", " G", " T"];
  let size = Math.abs(value);
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  const digits = size >= 100 || Number.isInteger(size) ? 0 : size >= 10 ? 1 : 2;
  return (value < 0 ? "-" : "") + size.toFixed(digits) + units[unit];
}

// In UTC, as all times of the pages.
function timeText(seconds) {
  return seconds === null ? "–" : `${new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")}Z`;
}

function shortTimes(_, ticks, axis, space, step) {
  return ticks.map((seconds) => {
    const text = timeText(seconds);
    if (step >= 86400 || seconds % 86400 === 0) return text.slice(0, 10);
    return text.slice(11, step < 60 ? 19 : 16);
  });
}

// Of a chart that grows: the last minute at least, so that its beginning looks like what follows.
function recent(plot) {
  const times = plot.data[0];
  const end = times.at(-1) ?? Date.now() / 1000;
  return [Math.min(times[0] ?? end, end - WINDOW_S), end];
}

function options(figure, labels, isTime) {
  const axis = {
    stroke: colour("--soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
  };
  return {
    width: Math.max(200, figure.clientWidth),
    height: 200,
    scales: { x: { time: isTime, ...(figure.dataset.chartLive ? { range: recent } : {}) }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1] } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    axes: [isTime ? { ...axis, values: shortTimes, space: 80 } : axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(shortNumber) }],
    series: [
      isTime ? { label: "time", value: (_, value) => timeText(value) } : { label: figure.dataset.x || "x" },
      ...labels.map((label, index) => ({
        label: label + (figure.dataset.unit ? ` (${figure.dataset.unit})` : ""),
        stroke: colour(SERIES[index % SERIES.length]),
        width: 2,
        points: { show: isTime ? false : undefined },
        value: (_, value) => shortNumber(value),
      })),
    ],
  };
}

function draw(figure, labels, data, isTime) {
  charts.get(figure)?.plot.destroy();
  const plot = new uPlot(options(figure, labels, isTime), data, figure);
  const totals = charts.get(figure)?.totals ?? new Map();
  charts.set(figure, { plot, labels, data, isTime, totals });
}

function beginCharts() {
  for (const figure of document.querySelectorAll("[data-chart]")) {
    if (charts.has(figure)) continue;
    const points = JSON.parse(figure.dataset.chart);
    draw(figure, points.series.map((each) => each.label), [points.x, ...points.series.map((each) => each.y)], points.time);
  }
  for (const figure of document.querySelectorAll("[data-chart-live]")) {
    if (charts.has(figure)) continue;
    const series = JSON.parse(figure.dataset.chartLive);
    const begun = JSON.parse(figure.dataset.begun);
    draw(figure, series.map(([label]) => label), [begun.x, ...begun.y], true);
  }
  for (const figure of charts.keys()) {
    if (!figure.isConnected) {
      charts.get(figure).plot.destroy();
      charts.delete(figure);
    }
  }
}

// Per second since the sample before; nothing at the first, and where a total begins anew.
function increase(chart, name, value, now) {
  const before = chart.totals.get(name);
  chart.totals.set(name, [value, now]);
  if (before === undefined || value === null || before[0] === null || value < before[0]) return null;
  return (value - before[0]) / Math.max(0.001, now - before[1]);
}

// Of a chart, the values that are in the page now, and when they were so.
function sampled(figure, chart) {
  let at = Date.now() / 1000;
  const values = JSON.parse(figure.dataset.chartLive).map(([, name, kind]) => {
    const sample = document.querySelector(`[data-sample="${CSS.escape(name)}"]`);
    const value = sample === null || sample.value === "" ? null : Number(sample.value);
    if (sample?.dataset.at) at = Number(sample.dataset.at);
    return kind === "total" ? increase(chart, name, value, at) : value;
  });
  return [at, values];
}

function takeSamples() {
  for (const [figure, chart] of charts) {
    if (!figure.dataset.chartLive) continue;
    const [at, values] = sampled(figure, chart);
    const times = chart.data[0];
    if (at <= (times.at(-1) ?? 0) || values.every((value) => value === null)) continue;
    [at, ...values].forEach((value, index) => chart.data[index].push(value));
    const old = Math.max(times.findIndex((time) => time >= at - KEPT_S), times.length - SAMPLES_MAX);
    if (old > 0) chart.data.forEach((each) => each.splice(0, old));
    chart.plot.setData(chart.data);
  }
}

function redraw() {
  for (const [figure, chart] of [...charts]) draw(figure, chart.labels, chart.data, chart.isTime);
}

function tablesIn(live) {
  return live === null ? [] : [...live.querySelectorAll(".table")];
}

// Says where a table that is wider than the window goes on.
function markMore(table) {
  const left = table.scrollLeft;
  table.classList.toggle("more-left", left > 1);
  table.classList.toggle("more-right", left + table.clientWidth < table.scrollWidth - 1);
}

function markAll() {
  document.querySelectorAll(".table").forEach(markMore);
}

// Somebody has opened, marked, reached or pressed something there, so it stays as it is.
function isInUse(live) {
  const marked = document.getSelection();
  const isMarked = marked !== null && !marked.isCollapsed && live.contains(marked.anchorNode);
  return isMarked || live.querySelector("details[open], :focus-visible, :active") !== null;
}

function begin() {
  document.documentElement.classList.add("scripted");
  const menu = document.querySelector("[data-menu]");
  const side = document.getElementById("navigation");
  menu?.addEventListener("click", () => {
    menu.setAttribute("aria-expanded", String(side.classList.toggle("open")));
  });
  beginCharts();
  takeSamples();
  markAll();
  document.addEventListener("scroll", (event) => {
    if (event.target instanceof Element && event.target.matches(".table")) markMore(event.target);
  }, true);

  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { redraw(); markAll(); }, 150);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  const offline = document.getElementById("offline");
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const live = event.target.closest("[data-live]");
    if (live !== null && (document.hidden || isInUse(live))) event.preventDefault();
  });
  let scrolled = [];
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const live = event.detail.target.closest("[data-live]");
    // Since it was asked for.
    if (live !== null && isInUse(live)) event.detail.shouldSwap = false;
    scrolled = tablesIn(event.detail.target).map((table) => table.scrollLeft);
  });
  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (offline !== null) offline.hidden = event.detail.successful || event.detail.xhr.status === 204;
  });
  document.body.addEventListener("htmx:afterSettle", (event) => {
    tablesIn(document.getElementById(event.detail.target.id)).forEach((table, index) => {
      table.scrollLeft = scrolled[index] ?? 0;
    });
    markAll();
    beginCharts();
    takeSamples();
  });
}

begin();
