/** Returns the bytes that may still be stored; `null` where the browser does not say.
 * @returns {Promise<number | null>} */
export function storageRoom(): Promise<number | null>;
/** Describes this machine. @param {boolean} mayUseGpu @returns {Promise<Machine>} */
export function describeMachine(mayUseGpu: boolean): Promise<Machine>;
/**
 * `memory`: bytes that a model may take. `room`: bytes that may be stored, `null` where the browser does not say.
 */
export type Machine = {
    gpu: boolean;
    phone: boolean;
    memory: number;
    room: number | null;
};
