// Written from resviz/views/widgets/messages.py by `make messages`; change it there.

/** What JSON holds; each view says what is in it. */
export type Meta = Record<string, ReturnType<typeof JSON.parse>>;

/** The view is drawn; it waits for its data. */
export interface Ready {
  type: "ready";
}

/** A question; the fields of its kind stand beside these, see `Questions`. */
export interface Ask {
  type: "ask";
  id: string;
  what: string;
}

/** Nobody wants the answer any more. */
export interface Stop {
  type: "stop";
  id: string;
}

/** To a view within this one, of the scene that the browser shows. */
export interface WithinAsked {
  type: "within";
  view: string;
  scene: number;
  content: Ready | Ask | Stop;
}

/** All that the view shows at first; with one buffer. */
export interface Data {
  type: "data";
  meta: Meta;
}

/** To a question; the fields of its kind stand beside these, see `Answers`. */
export interface Answer {
  type: "answer";
  id: string;
}

/** How far the answer is. */
export interface Progress {
  type: "progress";
  id: string;
  done: number;
  total: number;
  text: string;
}

/** There is no answer, and why. */
export interface Failure {
  type: "error";
  id: string;
  text: string;
}

/** From a view within this one. */
export interface WithinTold {
  type: "within";
  view: string;
  content: Data | Answer | Progress | Failure;
}

export interface Moment {
  image: number;
  class: number | null;
  off: string[];
}

export interface MapQuestion {
  image?: number;
  class: number;
  contrast: number | null;
  method: string;
  layer: string;
  part?: string;
  moment?: Moment;
}

export interface WeightQuestion {
  network: number;
  class: number;
}

/** A file joins the others; with its bytes. */
export interface PhotographQuestion {
  name: string;
}

/** The images of a scan that channels answer to most. */
export interface StrongestQuestion {
  layer: string;
  channels: number[];
}

/** The maps of a channel over its top images. */
export interface TopMapsQuestion {
  layer: string;
  channel: number;
}

/** Whether the network is still the one that was measured: the generation that is known. */
export interface GenerationQuestion {
  generation: number;
}

/** By what is asked: the fields of the question. */
export interface Questions {
  scene: Moment;
  explanation: Moment;
  without: Moment;
  maps: Moment;
  map: MapQuestion;
  faithfulness: MapQuestion;
  weight: WeightQuestion;
  photograph: PhotographQuestion;
  strongest: StrongestQuestion;
  top_maps: TopMapsQuestion;
  generation: GenerationQuestion;
}

/** What was recorded; with one buffer. */
export interface SceneAnswer {
  scene: Meta;
}

/** What was explained; with one buffer. */
export interface ExplanationAnswer {
  explanation: Meta;
}

/** What is predicted without each block; with one buffer. */
export interface WithoutAnswer {
  without: Meta;
}

/** All channels, as `resviz.explore_feature_maps` has them; with one buffer. */
export interface MapsAnswer {
  maps: Meta;
  chosen: Meta;
}

/** (h, w) of the map; with its values, float32. */
export interface MapAnswer {
  shape: number[];
}

/** A row of the table of checks, and how they were made. */
export interface FaithfulnessAnswer {
  row: Meta;
  checked: string;
}

export interface WeightAnswer {
  class: number;
}

/** What the screen says of all photographs, with one buffer; which one is new. */
export interface PhotographAnswer {
  header: Meta;
  image: number;
}

/** Their crops, and what is known of each; with one buffer. */
export interface StrongestAnswer {
  strongest: Meta;
}

/** Maps, one byte a value; with one buffer. */
export interface TopMapsAnswer {
  maps: Meta;
}

/** How often its weights were found to be others. */
export interface GenerationAnswer {
  generation: number;
}

/** By what is asked: the fields of the answer. */
export interface Answers {
  scene: SceneAnswer;
  explanation: ExplanationAnswer;
  without: WithoutAnswer;
  maps: MapsAnswer;
  map: MapAnswer;
  faithfulness: FaithfulnessAnswer;
  weight: WeightAnswer;
  photograph: PhotographAnswer;
  strongest: StrongestAnswer;
  top_maps: TopMapsAnswer;
  generation: GenerationAnswer;
}

export type FromBrowser = Ready | Ask | Stop | WithinAsked;

export type ToBrowser = Data | Answer | Progress | Failure | WithinTold;
