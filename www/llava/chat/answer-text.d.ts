export class AnswerText {
    /** @param {boolean} continued whether the text continues another, whose space it keeps */
    constructor(continued: boolean);
    begun: boolean;
    /** Returns the text to show after a piece of the answer; it may be empty. @param {string} piece */
    push(piece: string): string;
    #private;
}
