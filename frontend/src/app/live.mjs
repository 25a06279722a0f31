// Live pages: one EventSource a page says what changed, and the changed regions are fetched and morphed in place.
//
//   <div data-live="/runs/7/events"> ... <section data-live-region="steps" id="steps"> ... </section></div>
//
// `data-live-page` is the page's own address where the browser shows another: that of a form that was refused.
//
// Events: `refresh` (data: region names, or nothing for all), `html` (data: JSON {region, html, swap}), `toast`, `end`.
// A message of any other kind is a refresh of all: every message is a hint, the page's own address is the truth.
import { Idiomorph } from "idiomorph/dist/idiomorph.esm.js";
import { toast } from "./toasts.mjs";

const COALESCE_MS = 150;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30000;

const morphing = {
  morphStyle: "outerHTML",
  callbacks: {
    beforeNodeMorphed: (old) => {
      if (!(old instanceof Element)) return true;
      // What this page drew or opened itself is not the server's to take back.
      if (old.hasAttribute("data-live-keep")) return false;
      return true;
    },
    beforeAttributeUpdated: (name, node) => {
      if (name === "open" && node instanceof HTMLDetailsElement) return false;
      if (name === "open" && node instanceof HTMLDialogElement) return false;
      if (name === "data-drawn" || name === "data-wrap") return false;
      return true;
    },
  },
  ignoreActiveValue: true,
};

class LivePage {
  constructor(root, htmx) {
    this.root = root;
    this.htmx = htmx;
    this.address = root.dataset.live;
    this.lastId = "";
    this.retryMs = FIRST_RETRY_MS;
    this.pending = new Set();
    this.timer = 0;
    this.busy = false;
    this.ended = false;
    this.source = null;
  }

  say(state) {
    const words = { live: "Live", lost: "Reconnecting", ended: "Finished", paused: "Paused" };
    for (const sign of document.querySelectorAll("[data-live-status]")) {
      sign.dataset.liveState = state;
      sign.textContent = words[state];
    }
  }

  open() {
    if (this.ended || this.source) return;
    const address = new URL(this.address, location.href);
    if (this.lastId) address.searchParams.set("last_event_id", this.lastId);
    const source = new EventSource(address);
    this.source = source;
    let opened = false;
    source.addEventListener("open", () => {
      // What happened while the line was down is not replayed by every server: look again.
      if (opened || this.missed) this.refresh([]);
      opened = true;
      this.missed = false;
      this.retryMs = FIRST_RETRY_MS;
      this.say("live");
    });
    source.addEventListener("error", () => {
      this.missed = true;
      this.say("lost");
      if (source.readyState !== EventSource.CLOSED) return;
      this.close();
      setTimeout(() => this.open(), this.retryMs * (0.75 + Math.random() / 2));
      this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
    });
    const on = (kind, work) => source.addEventListener(kind, (event) => {
      if (event.lastEventId) this.lastId = event.lastEventId;
      work(event.data);
    });
    on("refresh", (data) => this.refresh(data.split(/\s+/).filter(Boolean)));
    on("message", () => this.refresh([]));
    on("html", (data) => this.place(JSON.parse(data)));
    on("toast", (data) => {
      const note = JSON.parse(data);
      toast(note.text, note.tone);
    });
    on("end", () => {
      this.ended = true;
      this.refresh([]);
      this.close();
      this.say("ended");
    });
  }

  close() {
    this.source?.close();
    this.source = null;
  }

  regions() {
    return [...document.querySelectorAll("[data-live-region]")];
  }

  refresh(names) {
    const wanted = names.length && !names.includes("*") ? names : this.regions().map((region) => region.dataset.liveRegion);
    wanted.forEach((name) => this.pending.add(name));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fetch(), COALESCE_MS);
  }

  async fetch() {
    if (this.busy || !this.pending.size) return;
    this.busy = true;
    const names = new Set(this.pending);
    this.pending.clear();
    const byAddress = new Map();
    for (const region of this.regions()) {
      if (!names.has(region.dataset.liveRegion)) continue;
      const address = region.dataset.liveUrl ?? this.root.dataset.livePage ?? location.pathname + location.search;
      byAddress.set(address, [...(byAddress.get(address) ?? []), region]);
    }
    try {
      for (const [address, regions] of byAddress) await this.fetchInto(address, regions);
    } catch {
      names.forEach((name) => this.pending.add(name));
      this.say("lost");
      this.timer = setTimeout(() => this.fetch(), LAST_RETRY_MS / 6);
    } finally {
      this.busy = false;
    }
    if (this.pending.size) this.timer ||= setTimeout(() => this.fetch(), COALESCE_MS);
  }

  async fetchInto(address, regions) {
    const answer = await fetch(address, { headers: { "X-Handrail-Live": "1" }, credentials: "same-origin" });
    if (answer.redirected || answer.status === 401 || answer.status === 403) {
      // Signed out, or no longer permitted: the whole page says so better than a half-old one.
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const region of regions) {
      const next = fresh.querySelector(`[data-live-region="${CSS.escape(region.dataset.liveRegion)}"]`);
      if (next) this.morph(region, next);
    }
  }

  morph(region, next) {
    Idiomorph.morph(region, next, morphing);
    const now = this.regions().find((node) => node.dataset.liveRegion === next.dataset.liveRegion);
    if (now) this.htmx.process(now);
    document.dispatchEvent(new CustomEvent("handrail:changed"));
  }

  place({ region: name, html, swap }) {
    const region = this.regions().find((node) => node.dataset.liveRegion === name);
    if (!region) return;
    const holder = document.createElement("template");
    holder.innerHTML = html;
    if (swap === "append") region.append(holder.content);
    else if (swap === "prepend") region.prepend(holder.content);
    else region.replaceChildren(holder.content);
    this.htmx.process(region);
    document.dispatchEvent(new CustomEvent("handrail:changed"));
  }
}

export function startLive(htmx) {
  const root = document.querySelector("[data-live]");
  document.body.addEventListener("htmx:afterSwap", () => document.dispatchEvent(new CustomEvent("handrail:changed")));
  if (!root) return;
  const page = new LivePage(root, htmx);
  page.open();
  // A browser allows six connections to a server over HTTP/1.1: hidden tabs give theirs back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      page.close();
      page.missed = true;
      page.say("paused");
    } else page.open();
  });
  window.addEventListener("pagehide", () => page.close());
  document.addEventListener("handrail:refresh", (event) => page.refresh(event.detail ?? []));
}
