// Keeps the page live: on news the page is fetched again and its parts marked `data-live` are
// replaced. Rendering, and so escaping, happens on the server only; nothing here makes HTML of text.
"use strict";

const guard = document.querySelector('meta[name="page-token"]').content;
const subject = document.body.dataset.subject || "";
const toasts = document.querySelector(".toasts");

function toast(text, bad) {
  const note = document.createElement("div");
  note.className = bad ? "toast bad" : "toast";
  note.textContent = text;
  note.setAttribute("role", "status");
  toasts.append(note);
  setTimeout(() => note.remove(), bad ? 9000 : 4000);
}

async function call(method, path, body, type) {
  const headers = { "x-holdfast-page": guard };
  if (body !== undefined) headers["content-type"] = type || "application/json";
  const answer = await fetch("/api/v1" + path, { method, headers, body });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.message || answer.statusText);
  return value;
}

// --- live parts ---------------------------------------------------------------------------------

let refreshing = false, again = false;
const opened = new Set();

async function refresh() {
  if (refreshing) { again = true; return; }
  refreshing = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname === "/login") { location.reload(); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (next && next.outerHTML !== part.dataset.seen) {
        const seen = next.outerHTML;
        for (const id of opened) {
          const details = next.querySelector("#" + CSS.escape(id));
          if (details) details.open = true;
        }
        for (const tick of part.querySelectorAll("input:checked[id]")) {
          const same = next.querySelector("#" + CSS.escape(tick.id));
          if (same) same.checked = true;
        }
        part.replaceWith(document.adoptNode(next));
        next.dataset.seen = seen;
      }
    }
    document.body.dataset.refreshed = String(Number(document.body.dataset.refreshed || 0) + 1);
  } catch (error) {
    // The stream's own state shows that the server is away.
  } finally {
    refreshing = false;
    if (again) { again = false; setTimeout(refresh, 150); }
  }
}

document.addEventListener("toggle", (event) => {
  const details = event.target;
  if (details.tagName !== "DETAILS" || !details.id) return;
  if (details.open) opened.add(details.id); else opened.delete(details.id);
}, true);

let timer = null;
function news(item) {
  const about = item.topic === "device" ? item.id : item.device;
  if (subject && about && about !== subject) return;
  if (timer === null) timer = setTimeout(() => { timer = null; refresh(); }, 120);
}

const link = document.querySelector(".link");
const stream = new EventSource("/api/v1/events");
stream.onmessage = (event) => news(JSON.parse(event.data));
let lost = false;
stream.onopen = () => {
  link.querySelector(".dot").classList.add("on");
  link.querySelector(".word").textContent = "live";
  if (lost) { lost = false; refresh(); }
};
stream.onerror = () => {
  lost = true;
  link.querySelector(".dot").classList.remove("on");
  link.querySelector(".word").textContent = "reconnecting";
};
// "5 min ago" grows without news.
setInterval(refresh, 30000);

// --- actions ------------------------------------------------------------------------------------

async function command(action) {
  const sent = await call("POST", "/devices/" + encodeURIComponent(subject) + "/commands", JSON.stringify(action));
  opened.add("command-" + sent.id);
  toast("Sent to the gateway");
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-command], button[data-copy], button[data-revoke]");
  if (!button) return;
  if (button.dataset.confirm && !confirm(button.dataset.confirm)) return;
  button.disabled = true;
  try {
    if (button.dataset.command) await command(JSON.parse(button.dataset.command));
    if (button.dataset.revoke) {
      await call("POST", "/devices/" + encodeURIComponent(button.dataset.revoke) + "/revoke", "{}");
      refresh();
    }
    if (button.dataset.copy) {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      toast("Copied");
    }
  } catch (error) {
    toast(error.message, true);
  } finally {
    button.disabled = false;
  }
});

function upload(method, path, file, meter) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, "/api/v1" + path);
    request.setRequestHeader("x-holdfast-page", guard);
    request.setRequestHeader("content-type", "application/octet-stream");
    request.upload.onprogress = (event) => {
      if (!meter || !event.lengthComputable) return;
      meter.hidden = false;
      meter.max = event.total;
      meter.value = event.loaded;
    };
    request.onload = () => {
      let value = {};
      try { value = JSON.parse(request.responseText); } catch (error) { /* told by the status below */ }
      if (request.status >= 200 && request.status < 300) resolve(value);
      else reject(new Error(value.message || "the server answered " + request.status));
    };
    request.onerror = () => reject(new Error("the connection broke"));
    request.onloadend = () => { if (meter) meter.hidden = true; };
    request.send(file);
  });
}

const submitted = {
  async release(form) {
    const release = await upload("POST", "/releases", form.manifest.files[0]);
    if (!release.ready) {
      await upload("PUT", "/releases/" + release.digest + "/payload", form.payload.files[0], form.querySelector("progress"));
    }
    form.reset();
    toast("Release " + release.version + " is ready to deploy");
  },
  async deploy(form) {
    const devices = [...form.querySelectorAll("input[name=device]:checked")].map((tick) => tick.value);
    if (devices.length === 0) throw new Error("Choose at least one gateway");
    await call("POST", "/deployments", JSON.stringify({ release: form.dataset.release, devices }));
    for (const tick of form.querySelectorAll("input:checked")) tick.checked = false;
    const details = form.closest("details");
    if (details) details.open = false;
    toast("Deployed to " + devices.length + (devices.length === 1 ? " gateway" : " gateways"));
  },
  async token(form) {
    const answer = await call("POST", "/tokens", JSON.stringify({ ttl: Number(form.ttl.value), host: form.host.value }));
    document.getElementById("snippet").textContent = answer.device_toml;
    document.getElementById("made").hidden = false;
    document.getElementById("made").scrollIntoView({ block: "nearest" });
  },
  async snap(form) {
    const file = form.file.files[0];
    const snap = await upload("POST", "/snaps?name=" + encodeURIComponent(file.name), file, form.querySelector("progress"));
    form.reset();
    toast(snap.name + ": " + snap.signature);
  },
  async install(form) {
    await command({ "install-snap": { sha256: form.snap.value } });
  },
  async policy(form) {
    const policy = {};
    if (form.hold.value.trim()) policy.hold = form.hold.value.trim();
    if (form.bandwidth.value) policy.bandwidth = Number(form.bandwidth.value);
    if (form.start.value) {
      const days = [...form.querySelectorAll("input[name=day]:checked")].map((tick) => tick.value);
      policy.window = { days, start: form.start.value, minutes: Number(form.minutes.value), zone: form.zone.value.trim() || null,
                        download: form.strict.checked ? "window" : "any-time" };
    }
    await call("PUT", "/devices/" + encodeURIComponent(subject) + "/policy", JSON.stringify(policy));
    toast("Set; the gateway follows it once it has received it");
  },
  async log(form) {
    await command({ log: { service: form.service.value, lines: 200 } });
  },
};

document.addEventListener("submit", async (event) => {
  const act = submitted[event.target.dataset.do];
  if (!act) return;
  event.preventDefault();
  const button = event.target.querySelector("button:not([type=button])");
  button.disabled = true;
  try {
    await act(event.target);
  } catch (error) {
    toast(error.message, true);
  } finally {
    button.disabled = false;
  }
});
