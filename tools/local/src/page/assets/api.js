// What the page asks the server to do.

import { toast } from "./dom.js";

async function call(method, path, body) {
  const isForm = body instanceof FormData;
  const headers = body && !isForm ? { "content-type": "application/json" } : {};
  try {
    const response = await fetch(path, { method, headers, body: body && !isForm ? JSON.stringify(body) : body });
    if (response.ok) return response.status === 204 ? {} : await response.json();
    const { error } = await response.json().catch(() => ({}));
    toast(error ?? `The server answered ${response.status}.`, "error");
  } catch {
    toast("The fleet does not answer. Is it still running?", "error");
  }
  return null;
}

/** Each answers null if it failed; then the user has been told. */
export const api = {
  send: (person, form) => call("POST", `api/people/${person}/messages`, form),
  press: (person, message_id, data) => call("POST", `api/people/${person}/presses`, { message_id, data }),
  meet: (name) => call("POST", "api/people", { name }),
  kill: (instance) => call("POST", `api/instances/${encodeURIComponent(instance)}/kill`),
  startFlood: (wish) => call("POST", "api/flood", wish),
  stopFlood: () => call("DELETE", "api/flood"),
};

export const fileUrl = (id) => `api/files/${encodeURIComponent(id)}`;
