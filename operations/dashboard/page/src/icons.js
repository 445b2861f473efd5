// Small pictures beside the names of the pages; the names say it all.
import { svg } from "./dom.js";

const paths = {
  overview: "M2 13h12M4 10V7M8 10V3M12 10V5",
  processes: "M8 2v3M8 11v3M2 8h3M11 8h3M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  supervisors: "M8 2v4M3 14v-3h10v3M8 6v5M6 2h4",
  sockets: "M5 2v4M11 2v4M3.5 6h9v2a4.5 4.5 0 0 1-9 0zM8 12.5V15",
  presence: "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.5 14a5.5 5.5 0 0 1 11 0",
  tables: "M2 3h12v10H2zM2 6.5h12M6.5 6.5V13",
  links: "M6.5 9.5l3-3M7 4.5l1-1a3 3 0 0 1 4.500 4.200l-1.200 1.100M9 11.500l-1 1a3 3 0 0 1-4.500-4.200l1.200-1.100",
  alarms: "M8 2a4 4 0 0 0-4 4v3l-1.500 2.500h11L12 9V6a4 4 0 0 0-4-4zM6.500 13.500a1.600 1.600 0 0 0 3 0",
  log: "M3 3h10M3 6.300h10M3 9.600h7M3 13h5",
};

export function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: paths[name] }));
}
